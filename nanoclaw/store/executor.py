"""The seam through which all database work runs: threads in production, inline in a simulation."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import sleep
from typing import Literal, Protocol, TypeVar

import apsw
import trio

T = TypeVar("T")

Lane = Literal["write", "read", "untrusted"]
"""Work of one lane cannot starve another: hostile files are read in a lane of their own."""

BRIEF_PAUSES_S = (0.0002,) * 10
"""What a worker waits for a lock by itself; anything longer is waited for by its task, cancellably."""
LANE_WIDTHS: dict[Lane, int] = {"write": 16, "read": 16, "untrusted": 4}


class Executor(Protocol):
    """Runs synchronous database work, and marks the commit points."""

    async def run(self, call: Callable[[], T], *, lane: Lane = "write") -> T:
        """Run `call` to its end and return or raise what it does.

        Cancelled before the call has begun it raises `trio.Cancelled` and nothing was done; afterwards it is
        not cancelled, so the outcome is always known.
        """
        ...

    def before_commit(self, path: Path) -> None:
        """Called inside `run`, right before a transaction on `path` commits; what it raises rolls back."""
        ...

    def after_commit(self, path: Path) -> None:
        """Called inside `run`, right after a transaction on `path` committed."""
        ...


def _past_a_sync(call: Callable[[], T]) -> T:
    """Run `call`, and again within 2 ms while it meets a lock.

    A commit wakes its readers when it unlinks the journal and holds its lock until the directory is synced,
    a fraction of a millisecond later. Whoever would sleep for that in trio sleeps for one or two whole ones.
    """
    for pause in BRIEF_PAUSES_S:
        try:
            return call()
        except apsw.BusyError:
            sleep(pause)
    return call()


class ThreadExecutor:
    """Production: worker threads, so that a slow disk never stops the event loop."""

    def __init__(self) -> None:
        self._limiters = {lane: trio.CapacityLimiter(width) for lane, width in LANE_WIDTHS.items()}

    async def run(self, call: Callable[[], T], *, lane: Lane = "write") -> T:
        """Run `call` in a thread of its lane; see `Executor.run`."""
        return await trio.to_thread.run_sync(
            partial(_past_a_sync, call), abandon_on_cancel=False, limiter=self._limiters[lane]
        )

    def before_commit(self, path: Path) -> None:
        """Nothing happens here in production."""

    def after_commit(self, path: Path) -> None:
        """Nothing happens here in production: the kernel tells who watches."""
