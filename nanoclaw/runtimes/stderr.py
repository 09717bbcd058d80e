"""A runner's stderr in the host's log: bound to its session, and bounded."""

import json
from collections import deque
from collections.abc import Mapping

import structlog
import trio
from attrs import Factory, define

MAX_LINE = 4096
"""Bytes of a line that are kept."""
MAX_LINES = 200
"""Lines in any `WINDOW_S`; further ones are counted, and the count is logged."""
WINDOW_S = 10.0
LAST_WORDS = 5
MAX_WORDS = 500
"""Limit of a line in `last_words`, in characters."""
FAILED = "runner.failed"
"""The event with which our runner says why it ends."""
_REASONS = ("reason", "message", "msg", "error")
"""Keys of a JSON line whose value may be a text for people."""

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_log = structlog.get_logger()


@define(eq=False)
class StderrLog:
    """Reads one runner's stderr to its end."""

    session_id: str
    last_words: deque[str] = Factory(lambda: deque(maxlen=LAST_WORDS))
    """The last lines that may explain a death, as text for people."""
    failure: str | None = None
    """The reason that our runner gave for its end."""
    _since: float = float("-inf")
    _lines: int = 0
    _dropped: int = 0

    async def drain(self, stream: trio.abc.ReceiveStream) -> None:
        """Log line by line until the end of the stream; never holds more than one line and one chunk."""
        rest = b""
        async for chunk in stream:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._line(line)
            rest = rest[: MAX_LINE + 1]
        if rest:
            self._line(rest)
        self._report_dropped()

    def explain(self, how: str, *, failed: bool) -> str:
        """Return how a runner ended, with its own reason if it failed, and its last words."""
        first = f"{self.failure.rstrip('.')} ({how})" if failed and self.failure else how
        return first + "".join(f"\n  {line}" for line in self.last_words)

    def _line(self, line: bytes) -> None:
        text = line[:MAX_LINE].decode("utf-8", "replace").rstrip()
        if not text:
            return
        event, level, values = parsed(text)
        self._keep(event, _LEVELS[level], values)
        if self._admit():
            _log.log(_LEVELS[level], event, session=self.session_id, **values)

    def _keep(self, event: str, level: int, values: Mapping[str, object]) -> None:
        """Keep a line that may explain a death. Events up to level `info` explain none."""
        words = _in_words(event, values)[:MAX_WORDS]
        if event == FAILED:
            self.failure = words
        elif "line" in values or level > _LEVELS["info"]:
            self.last_words.append(words)

    def _admit(self) -> bool:
        now = trio.current_time()
        if now - self._since >= WINDOW_S:
            self._report_dropped()
            self._since, self._lines = now, 0
        self._lines += 1
        self._dropped += self._lines > MAX_LINES
        return self._lines <= MAX_LINES

    def _report_dropped(self) -> None:
        if self._dropped:
            _log.warning("runner.stderr_dropped", session=self.session_id, lines=self._dropped)
            self._dropped = 0


def _in_words(event: str, values: Mapping[str, object]) -> str:
    """Return a line as text for people. Foreign runners may write JSON, too."""
    if "line" not in values:
        fields = values.get("runner")
        return _reason(fields if isinstance(fields, dict) else {}) or event.replace("_", " ")
    line = str(values["line"])
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return line
    return (_reason(fields) if isinstance(fields, dict) else None) or line


def _reason(fields: Mapping[str, object]) -> str | None:
    found = (fields.get(key) for key in _REASONS)
    return next((" ".join(text.split()) for text in found if isinstance(text, str) and text.strip()), None)


def parsed(text: str) -> tuple[str, str, dict[str, object]]:
    """Return a line as an event, its level and its values. What our runner did not write is quoted."""
    try:
        values = json.loads(text)
        event, level = values.pop("event"), values.pop("level", "info")
        _LEVELS[level]
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError):
        return "runner.stderr", "info", {"line": text}
    name = str(event)[:80].removeprefix("runner.")
    return f"runner.{name}", level, {"runner": values} if values else {}
