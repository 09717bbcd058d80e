"""Interface for all database work: worker threads in production, inline calls in a simulation."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import sleep
from typing import Literal, Protocol, TypeVar

import apsw
import trio

T = TypeVar("T")

Lane = Literal["write", "read", "untrusted", "match"]
"""Kind of work. Each lane has workers of its own, so that a hostile file or pattern starves no other lane."""

BRIEF_PAUSES_S = (0.00005,) * 10 + (0.0002,) * 5
"""Seconds between a worker's own retries of a locked file. The task does longer waits and is cancellable."""
LANE_WIDTHS: dict[Lane, int] = {"write": 16, "read": 16, "untrusted": 4, "match": 2}


class Executor(Protocol):
    """Runs synchronous database work and marks the commit points."""

    async def run(self, call: Callable[[], T], *, lane: Lane = "write") -> T:
        """Run `call`, and return or raise its outcome.

        If it is cancelled before the call begins, it raises `trio.Cancelled` and does nothing. A call that
        has begun is not cancelled, so its outcome is always known.
        """
        ...

    def before_commit(self, path: Path) -> None:
        """Signal that a commit on `path` is about to happen. Runs inside `run`; an exception rolls back."""
        ...

    def after_commit(self, path: Path) -> None:
        """Signal that a commit on `path` has happened. Runs inside `run`."""
        ...


def _past_a_sync(call: Callable[[], T]) -> T:
    """Run `call`, and repeat it for up to two or three milliseconds while the file is locked.

    A commit wakes its readers when it unlinks the journal. It holds its lock until the directory is synced, a
    fraction of a millisecond later. A sleep in trio would take one or two milliseconds.
    """
    for pause in BRIEF_PAUSES_S:
        try:
            return call()
        except apsw.BusyError:
            sleep(pause)
    return call()


class ThreadExecutor:
    """Runs database work in worker threads, so that a slow disk never blocks the event loop."""

    def __init__(self) -> None:
        self._limiters = {lane: trio.CapacityLimiter(width) for lane, width in LANE_WIDTHS.items()}

    async def run(self, call: Callable[[], T], *, lane: Lane = "write") -> T:
        """Run `call` in a thread of its lane."""
        return await trio.to_thread.run_sync(
            partial(_past_a_sync, call), abandon_on_cancel=False, limiter=self._limiters[lane]
        )

    def before_commit(self, path: Path) -> None:
        """Do nothing: only tests and simulations use the commit points."""

    def after_commit(self, path: Path) -> None:
        """Do nothing: inotify wakes the watchers."""
