"""Keeps the latest log events in memory for `nanoclaw logs`. It is bounded, and any thread may write."""

import json
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import islice

import structlog
import trio
from attrs import Factory, define, frozen

MAX_EVENTS, MAX_SIZE = 5000, 8 * 1024 * 1024
"""Limits of all events: their number and their characters."""
MAX_EVENT_SIZE = 32 * 1024
"""Limit of one event in characters. A longer event is cut off and kept as text."""

_stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)


@frozen
class LogLine:
    """One log event as a JSON object in one line; numbers grow by one."""

    number: int
    session: str | None
    text: str


@frozen(eq=False)
class _Waiter:
    token: trio.lowlevel.TrioToken
    woken: trio.Event = Factory(trio.Event)

    def wake(self) -> None:
        with suppress(trio.RunFinishedError):
            self.token.run_sync_soon(self.woken.set)


@define(eq=False)
class LogRing:
    """Keeps log events. `add` is a structlog processor."""

    newest: int = 0
    """The number of the last event."""
    _lines: deque[LogLine] = Factory(deque)
    _size: int = 0
    _waiters: dict[_Waiter, None] = Factory(dict)
    _lock: threading.Lock = Factory(threading.Lock)

    def add(
        self, logger: object, method: str, fields: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        """Keep an event, and return it unchanged."""
        stamped = structlog.processors.format_exc_info(logger, method, _stamp(logger, method, dict(fields)))
        text = _as_json(stamped)
        session = fields.get("session") or fields.get("actor")
        with self._lock:
            self.newest += 1
            self._lines.append(LogLine(self.newest, None if session is None else str(session), text))
            self._size += len(text)
            while len(self._lines) > MAX_EVENTS or self._size > MAX_SIZE:
                self._size -= len(self._lines.popleft().text)
            waiters, self._waiters = self._waiters, {}
        for waiter in waiters:
            waiter.wake()
        return fields

    def latest(self, n: int, session: str | None) -> Sequence[LogLine]:
        """Return the last `n` events, oldest first. `session` is a prefix of session ids; None means all."""
        with self._lock:
            found = list(islice(_of(session, reversed(self._lines)), n))
        return found[::-1]

    def after(self, number: int, session: str | None, n: int) -> tuple[Sequence[LogLine], int, int]:
        """Return up to `n` events after `number`, the number to continue from, and the count of lost events.

        Lost events came after `number`, but were dropped before they could be read.
        """
        with self._lock:
            oldest = self.newest - len(self._lines) + 1
            later = islice(self._lines, max(0, number + 1 - oldest), None)
            found = list(islice(_of(session, later), n))
            reached = found[-1].number if len(found) == n else self.newest
        return found, reached, max(0, oldest - 1 - number)

    async def wait_after(self, number: int) -> None:
        """Wait until there is an event after `number`."""
        waiter = _Waiter(trio.lowlevel.current_trio_token())
        with self._lock:
            if self.newest > number:
                return
            self._waiters[waiter] = None
        try:
            await waiter.woken.wait()
        finally:
            with self._lock:
                self._waiters.pop(waiter, None)


def _of(session: str | None, lines: Iterable[LogLine]) -> Iterable[LogLine]:
    return (line for line in lines if session is None or (line.session or "").startswith(session))


def _as_json(fields: structlog.typing.EventDict) -> str:
    try:
        text = json.dumps(fields, default=repr, skipkeys=True)
    except (ValueError, RecursionError):  # the fields contain a cycle
        text = json.dumps({key: repr(value) for key, value in fields.items()})
    if len(text) <= MAX_EVENT_SIZE:
        return text
    named = {key: fields[key] for key in ("timestamp", "level", "event", "session", "actor") if key in fields}
    return json.dumps({**named, "cut": text[: MAX_EVENT_SIZE // 2]}, default=repr)
