"""The seam through which all database work runs: threads in production, inline in a simulation."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, Protocol, TypeVar

import trio

T = TypeVar("T")

Lane = Literal["write", "read", "untrusted"]
"""Work of one lane cannot starve another: hostile files are read in a lane of their own."""

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


class ThreadExecutor:
    """Production: worker threads, so that a slow disk never stops the event loop."""

    def __init__(self) -> None:
        self._limiters = {lane: trio.CapacityLimiter(width) for lane, width in LANE_WIDTHS.items()}

    async def run(self, call: Callable[[], T], *, lane: Lane = "write") -> T:
        """Run `call` in a thread of its lane; see `Executor.run`."""
        return await trio.to_thread.run_sync(call, abandon_on_cancel=False, limiter=self._limiters[lane])

    def before_commit(self, path: Path) -> None:
        """Nothing happens here in production."""

    def after_commit(self, path: Path) -> None:
        """Nothing happens here in production: the kernel tells who watches."""
