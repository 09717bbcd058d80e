"""The log of one session: the host's events, and what its runtime keeps of its runner's output."""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from nanoclaw.logs.ring import LogLine
from nanoclaw.runtimes import KeptEvent

FROM_RUNNERS = "runner."
"""The beginning of the events that are lines of a runner."""


def merged(lines: Sequence[LogLine], kept: Sequence[KeptEvent], session_id: str) -> Sequence[str]:
    """Return both as JSON objects, by time. A line of a runner that the host has logged comes once."""
    if not kept:
        return [line.text for line in lines]
    own = [(line.text, json.loads(line.text)) for line in lines]
    logged = Counter(_content(event) for _, event in own)
    dated = [(_time(event), text) for text, event in own]
    for each in kept:
        found = {"event": each.event, "level": each.level, **each.values, "session": session_id}
        key = _content(found)
        if logged[key] > 0:
            logged[key] -= 1
            continue
        at = each.at.isoformat().replace("+00:00", "Z")
        dated.append((each.at.timestamp(), json.dumps({**found, "timestamp": at})))
    return [text for _, text in sorted(dated, key=lambda one: one[0])]


def _content(event: dict[str, Any]) -> str:
    """Return what makes two lines of a runner the same. Empty for events of the host."""
    if not str(event.get("event")).startswith(FROM_RUNNERS):
        return ""
    return json.dumps([event["event"], event.get("line"), event.get("runner")], sort_keys=True, default=str)


def _time(event: dict[str, Any]) -> float:
    try:
        return datetime.fromisoformat(event["timestamp"]).timestamp()
    except (KeyError, TypeError, ValueError):
        return 0.0
