"""The log of one session, from the host's events and from what its runtime keeps."""

import json
from datetime import UTC, datetime
from typing import Any

from nanoclaw.control.session_log import merged
from nanoclaw.logs.ring import LogLine
from nanoclaw.runtimes import KeptEvent

SESSION = "sess-1"


def logged(second: int, **fields: Any) -> LogLine:
    at = f"2026-11-30T08:00:{second:02}.5Z"
    return LogLine(second, SESSION, json.dumps({**fields, "session": SESSION, "timestamp": at}))


def kept(second: int, event: str, **values: Any) -> KeptEvent:
    return KeptEvent(datetime(2026, 11, 30, 8, 0, second, tzinfo=UTC), event, "info", values)


def test_lines_that_only_the_runtime_has_are_put_in_by_time() -> None:
    own = [logged(1, event="session.woke"), logged(3, event="runner.stopped")]
    found = [json.loads(text) for text in merged(own, [kept(2, "runner.stderr", line="quack")], SESSION)]
    assert [each["event"] for each in found] == ["session.woke", "runner.stderr", "runner.stopped"]
    assert found[1] == {
        "event": "runner.stderr",
        "level": "info",
        "line": "quack",
        "session": SESSION,
        "timestamp": "2026-11-30T08:00:02Z",
    }


def test_a_line_that_the_host_has_logged_comes_once_and_a_repeated_one_as_often_as_it_was_written() -> None:
    own = [logged(2, event="runner.stderr", line="quack"), logged(2, event="runner.woke", runner={"n": 1})]
    lines = [kept(n, "runner.stderr", line="quack") for n in (1, 2)] + [
        kept(2, "runner.woke", runner={"n": 1})
    ]
    events = [json.loads(text)["event"] for text in merged(own, lines, SESSION)]
    assert sorted(events) == ["runner.stderr", "runner.stderr", "runner.woke"]
