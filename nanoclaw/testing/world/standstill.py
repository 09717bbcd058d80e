"""Detection of code that loops without waiting, which stops virtual time."""

import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import trio

from nanoclaw.testing.world.determinism import Order

ROUNDS = 200_000
"""The number of scheduler rounds after which virtual time counts as standing still."""
MOVES_S = 0.001
"""The smallest change of virtual time, in seconds, that counts as progress."""
NO_ROUND_S = 20.0
"""Seconds of processor time without a round after which code counts as looping between two checkpoints."""
SAMPLE = 100
"""The number of steps that are sampled to name the looping task."""


class Standstill(Exception):
    """Code that loops without waiting, so that virtual time cannot pass."""


class Rounds:
    """Watches the scheduler's rounds. Calls `stop` once, outside of any task."""

    def __init__(self, order: Order, stop: Callable[[Standstill], None]) -> None:
        self._order, self._stop = order, stop
        self._moment, self._moved_at = 0.0, order.rounds
        self._told = False

    @property
    def made(self) -> int:
        """The number of rounds so far."""
        return self._order.rounds

    def look(self) -> None:
        """Check for a standstill; called regularly between rounds."""
        now = trio.current_time()
        if now - self._moment > MOVES_S:
            self._moment, self._moved_at = now, self.made
        elif self.made - self._moved_at >= ROUNDS and not self._told:
            self._told = True
            trio.lowlevel.add_instrument(_Who(now, self._stop))


class _Who(trio.abc.Instrument):
    """Finds the task that makes most of the next steps."""

    def __init__(self, now: float, stop: Callable[[Standstill], None]) -> None:
        self._now, self._stop = now, stop
        self._seen = Counter[trio.lowlevel.Task]()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """Count a step."""
        self._seen[task] += 1
        if self._seen.total() == SAMPLE:
            trio.lowlevel.remove_instrument(self)
            [(busiest, _)] = self._seen.most_common(1)
            what = f"{ROUNDS:,} rounds of the scheduler, and it is still {self._now!r} s"
            where = _place(busiest)
            unshield(busiest)
            self._stop(Standstill(f"{what}: {where} waits for nothing"))


class Unstoppable(BaseException):
    """An error for code that swallowed a `Standstill`. Only `except BaseException` can swallow this one."""


class Alarm:
    """A timer that raises `Standstill` in the running code if no scheduler round begins in time."""

    def __init__(self, rounds: Rounds, stop: Callable[[Standstill], None]) -> None:
        self._rounds, self._stop = rounds, stop
        self._seen = rounds.made
        self._rung = False

    def ring(self, _number: int, frame: FrameType | None) -> None:
        """Handle the signal."""
        seen, self._seen = self._seen, self._rounds.made
        if seen != self._seen:
            return
        what = f"{NO_ROUND_S:g} s of the processor without a checkpoint, {_line(frame)}"
        if self._rung:
            raise Unstoppable(what)
        self._rung = True
        standstill = Standstill(what)
        self._stop(standstill)
        raise standstill

    @contextmanager
    def set(self) -> Iterator[None]:
        """Arm the alarm while the block runs, but only in the main thread and only if the signal is free."""
        number = signal.SIGVTALRM
        taken = signal.getsignal(number) is not signal.SIG_DFL
        if taken or threading.current_thread() is not threading.main_thread():
            yield
            return
        signal.signal(number, self.ring)
        signal.setitimer(signal.ITIMER_VIRTUAL, NO_ROUND_S, NO_ROUND_S)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def watched(order: Order, stop: Callable[[Standstill], None]) -> Iterator[None]:
    """Detect a standstill while the block runs. `stop` has to cancel the looping code."""
    rounds = Rounds(order, stop)
    order.watch = rounds.look
    try:
        with Alarm(rounds, stop).set():
            yield
    finally:
        order.watch = None


def _line(frame: FrameType | None) -> str:
    if frame is None:
        return "an unknown place"
    return f"at {frame.f_globals.get('__name__', '?')}:{frame.f_lineno}"


def _place(task: trio.lowlevel.Task) -> str:
    """Return the line outside of trio at which a task waits."""
    frames = [(frame, line) for frame, line in task.iter_await_frames() if not _is_trios(frame)]
    if not frames:
        return task.name
    frame, line = frames[-1]
    return f"{task.name}, at {frame.f_globals.get('__name__', '?')}:{line},"


def _is_trios(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] == "trio"


def unshield(task: trio.lowlevel.Task) -> None:
    """Cancel a task through its shields. Only trio's private attributes allow it."""
    status: Any = task._cancel_status  # noqa: SLF001 -- see above
    while status is not None:
        status._scope.shield = False  # noqa: SLF001 -- see above
        status = status._parent  # noqa: SLF001 -- see above
