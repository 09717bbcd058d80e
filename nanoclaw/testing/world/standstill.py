"""Notices where virtual time stands still for ever: who goes round and round and waits for nothing."""

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
"""So many rounds of trio's scheduler while virtual time does not move, and it never will again."""
MOVES_S = 0.001
"""What is less than this is no move: a sleep of 10⁻⁹ s is as good as none."""
NO_ROUND_S = 20.0
"""So many seconds of the processor without one round, and somebody goes round between two of them."""
SAMPLE = 100
"""So many steps are looked at to name who goes round."""


class Standstill(Exception):
    """Something goes round and round without waiting; time cannot pass in a simulation."""


class Rounds:
    """Looks at the rounds of an order. Calls `stop` once, in no task."""

    def __init__(self, order: Order, stop: Callable[[Standstill], None]) -> None:
        self._order, self._stop = order, stop
        self._moment, self._moved_at = 0.0, order.rounds
        self._told = False

    @property
    def made(self) -> int:
        """How many there have been."""
        return self._order.rounds

    def look(self) -> None:
        """Called every so many rounds."""
        now = trio.current_time()
        if now - self._moment > MOVES_S:
            self._moment, self._moved_at = now, self.made
        elif self.made - self._moved_at >= ROUNDS and not self._told:
            self._told = True
            trio.lowlevel.add_instrument(_Who(now, self._stop))


class _Who(trio.abc.Instrument):
    """Finds out who makes most of the next steps."""

    def __init__(self, now: float, stop: Callable[[Standstill], None]) -> None:
        self._now, self._stop = now, stop
        self._seen = Counter[trio.lowlevel.Task]()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """One of them."""
        self._seen[task] += 1
        if self._seen.total() == SAMPLE:
            trio.lowlevel.remove_instrument(self)
            [(busiest, _)] = self._seen.most_common(1)
            what = f"{ROUNDS:,} rounds of the scheduler, and it is still {self._now!r} s"
            where = _place(busiest)
            unshield(busiest)
            self._stop(Standstill(f"{what}: {where} waits for nothing"))


class Unstoppable(BaseException):
    """Whoever goes round and round has swallowed a `Standstill`; this one nobody swallows by mistake."""


class Alarm:
    """Rings while no round begins: raises `Standstill` right where the processor is, whoever that is."""

    def __init__(self, rounds: Rounds, stop: Callable[[Standstill], None]) -> None:
        self._rounds, self._stop = rounds, stop
        self._seen = rounds.made
        self._rung = False

    def ring(self, _number: int, frame: FrameType | None) -> None:
        """The handler of the signal."""
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
        """While it is open it may ring: in the main thread only, where nobody else has that signal."""
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
    """While it is open a standstill is noticed. `stop` has to cancel whoever may go round."""
    rounds = Rounds(order, stop)
    order.watch = rounds.look
    try:
        with Alarm(rounds, stop).set():
            yield
    finally:
        order.watch = None


def _line(frame: FrameType | None) -> str:
    if frame is None:
        return "nobody knows where"
    return f"at {frame.f_globals.get('__name__', '?')}:{frame.f_lineno}"


def _place(task: trio.lowlevel.Task) -> str:
    """Where a task waits, outside of trio."""
    frames = [(frame, line) for frame, line in task.iter_await_frames() if not _is_trios(frame)]
    if not frames:
        return task.name
    frame, line = frames[-1]
    return f"{task.name}, at {frame.f_globals.get('__name__', '?')}:{line},"


def _is_trios(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] == "trio"


def unshield(task: trio.lowlevel.Task) -> None:
    """Let a cancellation reach it wherever it is: trio's own attributes, for nothing public does."""
    status: Any = task._cancel_status  # noqa: SLF001 -- see above
    while status is not None:
        status._scope.shield = False  # noqa: SLF001 -- see above
        status = status._parent  # noqa: SLF001 -- see above
