"""Interface for all database work: worker threads in production, inline calls in a simulation."""

import os
import sys
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from pathlib import Path
from time import sleep
from typing import Literal, Protocol, TypeVar
from weakref import finalize

import apsw
import trio
from outcome import Outcome

from nanoclaw.store.engine.mutex import Places

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
    """Runs database work in worker threads, so that a slow disk never blocks the event loop.

    The threads are those of `trio.to_thread`, without its passes through the event loop before the call and
    after it: they take half of the time of a hand-over.
    """

    def __init__(self) -> None:
        self._places = {lane: Places(width) for lane, width in LANE_WIDTHS.items()}
        self._slow = trio.CapacityLimiter(sum(LANE_WIDTHS.values()))
        self._bells: list[int] = []
        """Event descriptors that are free. Each tells the event loop of the end of one call."""
        finalize(self, _close, self._bells)

    async def run(self, call: Callable[[], T], *, lane: Lane = "write") -> T:
        """Run `call` in a thread of its lane."""
        await trio.lowlevel.checkpoint_if_cancelled()
        async with self._places[lane]:
            patient = partial(_past_a_sync, call)
            bell = self._bells.pop() if self._bells else _new_bell()
            if bell is None:
                return await trio.to_thread.run_sync(patient, abandon_on_cancel=False, limiter=self._slow)
            try:
                results = _started(patient, bell)
            except RuntimeError:  # the system has no thread left
                self._bells.append(bell)
                raise
            with trio.CancelScope(shield=True):
                await trio.lowlevel.wait_readable(bell)
            os.read(bell, 8)
            self._bells.append(bell)
        return results[0].unwrap()

    def before_commit(self, path: Path) -> None:
        """Do nothing: only tests and simulations use the commit points."""

    def after_commit(self, path: Path) -> None:
        """Do nothing: inotify wakes the watchers."""


def _started(call: Callable[[], T], bell: int) -> list[Outcome[T]]:
    """Run `call` in a thread, in the context of the caller. The list has its outcome when the bell rings."""
    results: list[Outcome[T]] = []

    def deliver(result: Outcome[T]) -> None:
        results.append(result)
        os.write(bell, (1).to_bytes(8, sys.byteorder))

    trio.lowlevel.start_thread_soon(partial(copy_context().run, call), deliver)
    return results


def _new_bell() -> int | None:
    """Return an event descriptor. None if the platform has none, or descriptors are exhausted."""
    if sys.platform != "linux":
        return None
    try:
        return os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    except OSError:
        return None


def _close(bells: list[int]) -> None:
    while bells:
        os.close(bells.pop())
