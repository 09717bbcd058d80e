"""`nanoclaw channels status`: the channels of the running host."""

import json
from collections.abc import Iterator, Mapping
from typing import Any
from zoneinfo import ZoneInfo

from nanoclaw.channels.terminal.terminal import harmless
from nanoclaw.cli.channels_pairing import ask
from nanoclaw.cli.client import RequestFailed, connect
from nanoclaw.cli.output import show
from nanoclaw.cli.tables import moment
from nanoclaw.config import Config
from nanoclaw.config.nearest import nearest


async def status(config: Config, name: str | None, *, as_json: bool) -> int:
    """Print the channels, or one of them. Raises NoHost, RequestFailed."""
    async with connect(config.data) as client:
        channels = (await ask(client, "status"))["channels"]
    found = [each for each in channels if name in {None, each["name"]}]
    if not found:
        near = nearest(str(name), [each["name"] for each in channels])
        configured = (
            ": it is configured, so `nanoclaw channels start` starts it" if name in config.channels else near
        )
        raise RequestFailed(f"the host has no channel {name!r:.100}{configured}", "not_found")
    text = (
        json.dumps(found, indent=2, ensure_ascii=False)
        if as_json
        else "\n".join(_lines(found, ZoneInfo(config.timezone)))
    )
    show(text if as_json else harmless(text))
    return 0


def _lines(found: list[Mapping[str, Any]], zone: ZoneInfo) -> Iterator[str]:
    for channel in found:
        yield channel_line(channel)
        yield f"  sending {channel['sender']}, receiving {channel['receiver']}"
        if channel["reason"]:
            since = moment(channel["since"], zone) or channel["since"]
            yield f"  {channel['condition']} since {since}: {channel['reason']}"
        elif channel["last_crash"]:
            yield f"  last error: {channel['last_crash']}"
        if channel["waiting"]:
            yield f"  {waiting(channel)}"


def channel_line(channel: Mapping[str, Any]) -> str:
    """Return the name of a channel, its type, and its state in a word."""
    type_ = f" ({channel['type']})" if channel["type"] not in {"", channel["name"]} else ""
    return f"{channel['name']}{type_}: {channel['condition'] or 'running'}"


def waiting(channel: Mapping[str, Any]) -> str:
    """Return how many deliveries wait for a channel."""
    number = channel["waiting"]
    return f"{number} {'delivery waits' if number == 1 else 'deliveries wait'}"
