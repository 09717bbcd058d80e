"""The real seams: this machine's clock, threads, file events and randomness. Only `main` binds them."""

import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import trio
from attrs import define, field, frozen

from agent_runner.seams import Lane, Wakeup, Wakeups

T = TypeVar("T")
POLL = 0.5
JOURNAL = "-journal"


class SystemClock:
    """The wall clock."""

    def now(self) -> datetime:
        """The current time, aware, in UTC."""
        return datetime.now(UTC)  # noqa: TID251 -- this is the clock that everyone else asks


@define(eq=False)
class ThreadExecutor:
    """Runs calls in worker threads. A cancelled caller waits for its call: the outcome is always known."""

    _write: trio.CapacityLimiter = field(factory=lambda: trio.CapacityLimiter(1), init=False)
    _read: trio.CapacityLimiter = field(factory=lambda: trio.CapacityLimiter(4), init=False)

    async def run(self, call: Callable[[], T], *, lane: Lane = "write") -> T:
        """Run `call` to its end in a worker thread."""
        limiter = self._write if lane == "write" else self._read
        return await trio.to_thread.run_sync(call, abandon_on_cancel=False, limiter=limiter)

    def before_commit(self, path: Path) -> None:
        """Nothing: this is for simulations."""

    def after_commit(self, path: Path) -> None:
        """Nothing: this is for simulations."""


class PollingWakeup:
    """Wakes every half a second, where nothing better can be had."""

    async def wait(self) -> None:
        """Return after half a second."""
        await trio.sleep(POLL)


class PollingWakeups:
    """Polling, as wake-ups."""

    @asynccontextmanager
    async def open(self, directory: Path) -> AsyncGenerator[Wakeup]:  # noqa: ARG002 -- the protocol's
        """Poll, whatever the directory."""
        yield PollingWakeup()


if sys.platform == "linux":
    from inotify_simple import INotify, flags  # type: ignore[import-untyped]  # it ships no types

    @frozen
    class InotifyWakeup:
        """Wakes when a journal is gone from a directory: in DELETE mode that is the commit."""

        _events: INotify

        async def wait(self) -> None:
            """Return after the next commit, or after the kernel lost events."""
            while not any(_is_commit(event) for event in self._events.read(timeout=0)):
                await trio.lowlevel.wait_readable(self._events.fileno())
            await trio.lowlevel.checkpoint()

    class InotifyWakeups:
        """File events of the kernel, as wake-ups."""

        @asynccontextmanager
        async def open(self, directory: Path) -> AsyncGenerator[Wakeup]:
            """Watch a directory; where the kernel has no watch left, poll."""
            try:
                events = INotify(nonblocking=True)
            except OSError:
                yield PollingWakeup()
                return
            with events:
                yield _watch(events, directory)

    def _watch(events: INotify, directory: Path) -> Wakeup:
        try:
            events.add_watch(directory, flags.DELETE)
        except OSError:
            return PollingWakeup()
        return InotifyWakeup(events)

    def _is_commit(event: tuple[int, int, int, str]) -> bool:
        _, mask, _, name = event
        return name.endswith(JOURNAL) or bool(mask & flags.Q_OVERFLOW)

    def wakeups() -> Wakeups:
        """The best this platform has."""
        return InotifyWakeups()

else:

    def wakeups() -> Wakeups:
        """The best this platform has."""
        return PollingWakeups()
