"""The real seams: this machine's clock, threads, file events and randomness. Only `main` binds them."""

import sys
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import sleep  # noqa: TID251 -- 0.2 ms, which trio cannot time
from typing import TypeVar

import apsw
import trio
from attrs import define, field

from agent_runner.beside import beside
from agent_runner.seams import Lane, Wakeups

T = TypeVar("T")
POLL = 0.5
JOURNAL = "-journal"
BRIEF_PAUSES = (0.0002,) * 10


class SystemClock:
    """The wall clock."""

    def now(self) -> datetime:
        """The current time, aware, in UTC."""
        return datetime.now(UTC)  # noqa: TID251 -- this is the clock that everyone else asks


def _past_a_sync(call: Callable[[], T]) -> T:
    """Run `call`, and again within 2 ms while it meets a lock.

    A commit wakes its readers when it unlinks the journal and holds its lock until the directory is synced,
    a fraction of a millisecond later. Whoever would sleep for that in trio sleeps for one or two whole ones.
    """
    for pause in BRIEF_PAUSES:
        try:
            return call()
        except apsw.BusyError:
            sleep(pause)
    return call()


@define(eq=False)
class ThreadExecutor:
    """Files are written in a worker thread; a cancelled caller waits for its call.

    Reads and commits run at once: a thread would add a tenth of a millisecond there and back, to an answer
    that somebody waits for, and the runner has nothing better to do meanwhile.
    """

    _write: trio.CapacityLimiter = field(factory=lambda: trio.CapacityLimiter(1), init=False)

    async def run(self, call: Callable[[], T], *, lane: Lane = "write") -> T:
        """Run `call` to its end."""
        if lane != "write":
            await trio.lowlevel.checkpoint()
            return _past_a_sync(call)
        return await trio.to_thread.run_sync(call, abandon_on_cancel=False, limiter=self._write)

    def before_commit(self, path: Path) -> None:
        """Nothing: this is for simulations."""

    def after_commit(self, path: Path) -> None:
        """Nothing: this is for simulations."""


class PollingWakeups:
    """Wakes every half a second, where nothing better can be had."""

    @asynccontextmanager
    async def watch(self, directory: Path, changed: Callable[[], None]) -> AsyncGenerator[None]:  # noqa: ARG002 -- the protocol's
        """Poll, whatever the directory."""
        async with beside(lambda: _poll(changed)):
            yield


async def _poll(changed: Callable[[], None]) -> None:
    while True:
        await trio.sleep(POLL)
        changed()


if sys.platform == "linux":
    from inotify_simple import INotify, flags  # type: ignore[import-untyped]  # it ships no types

    class InotifyWakeups:
        """File events of the kernel: in DELETE mode a journal that is gone from a directory is the commit."""

        @asynccontextmanager
        async def watch(self, directory: Path, changed: Callable[[], None]) -> AsyncGenerator[None]:
            """Watch a directory; where the kernel has no watch left, poll."""
            with _watching(directory) as events:
                async with beside(lambda: _follow(events, changed) if events else _poll(changed)):
                    yield

    @contextmanager
    def _watching(directory: Path) -> Iterator[INotify | None]:
        try:
            events = INotify(nonblocking=True)
        except OSError:
            yield None
            return
        with events:
            try:
                events.add_watch(directory, flags.DELETE)
            except OSError:
                yield None
            else:
                yield events

    async def _follow(events: INotify, changed: Callable[[], None]) -> None:
        """Tell of each run of commits, and where the kernel has lost events."""
        while True:
            await trio.lowlevel.wait_readable(events.fileno())
            if any(_is_commit(event) for event in events.read(timeout=0)):
                changed()

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
