"""Watches a provider's turn: its steps, its reaction to cancellation, and whether it lets others run."""

import math
import sys
import time
from collections.abc import Coroutine, Generator, Sequence
from contextlib import suppress
from pathlib import Path
from socket import socket
from time import perf_counter
from types import FrameType, TracebackType
from typing import Any, Self

import outcome
import trio
from attrs import Factory, define

from nanoclaw.testing.conformance.checks import NotConforming

WAY_OUT = 10_000
"""Steps after cancellation by which a turn must have ended."""
LONG_AGO = -1e18
WAITING = frozenset({"accept", "connect", "recv", "recv_into", "recvfrom", "send", "sendall", "sendto"})


class Steps(trio.abc.Instrument):
    """Counts the steps of trio's tasks while the block runs."""

    def __enter__(self) -> Self:
        trio.lowlevel.add_instrument(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        trio.lowlevel.remove_instrument(self)


@define(eq=False)
class CancelAfter(Steps):
    """Cancels a scope after a number of steps."""

    scope: trio.CancelScope
    steps: int
    ends: list[float] = Factory(list)
    """The end of each step, on trio's clock."""

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """Count a step."""
        del task
        self.ends.append(trio.current_time())
        if len(self.ends) == self.steps:
            self.scope.cancel()

    @property
    def at(self) -> float | None:
        """The moment of the cancellation; None if there were too few steps."""
        return self.ends[self.steps - 1] if len(self.ends) >= self.steps else None

    def worth(self, n: int) -> Sequence[int]:
        """Return `n` step counts at which to cancel a turn: in its longest waits, and spread over it."""
        made = len(self.ends)
        if made <= n:
            return range(1, made + 1)
        waits = sorted(range(1, made), key=lambda k: self.ends[k - 1] - self.ends[k])
        return sorted({*waits[: n // 2], *(1 + k * made // n for k in range(0, n, 2))})


@define(eq=False)
class Watched:
    """A coroutine that is cancelled while it runs. It may continue, but must end."""

    coroutine: Coroutine[Any, Any, Any]
    scope: trio.CancelScope
    told: bool = False
    """True if `Cancelled` was raised in the coroutine because of the cancellation."""

    def __await__(self) -> Generator[Any, Any, Any]:
        """Run the coroutine, and pass trio's answer to each of its waits.

        Raises:
            NotConforming: it keeps waiting after its cancellation.
        """
        answer: Any = None
        left, reached = WAY_OUT, True
        while left:
            try:
                wait = self.coroutine.send(answer)
            except StopIteration as end:
                return end.value
            if not self.scope.cancel_called:
                reached = self._reaches()
            try:
                answer = yield wait
            except BaseException:
                self.coroutine.close()
                raise
            if self.scope.cancel_called:
                self.told = self.told or (reached and _is_cancelled(answer))
                left -= 1
        return self._abandon()

    def _reaches(self) -> bool:
        """Return whether the scope's cancellation reaches the waiting code, so no shield blocks it."""
        self.scope.deadline = LONG_AGO  # no other task runs in this step
        reached = trio.current_effective_deadline() == LONG_AGO
        self.scope.deadline = math.inf
        return reached

    def _abandon(self) -> None:
        error = NotConforming(f"cancelled, it went on for {WAY_OUT:,} steps: it keeps `Cancelled` to itself")
        with suppress(StopIteration):
            self.coroutine.throw(error)
        with suppress(RuntimeError):  # the coroutine swallowed this cancellation, too
            self.coroutine.close()
        raise error


def _is_cancelled(answer: object) -> bool:
    return isinstance(answer, outcome.Error) and isinstance(answer.error, trio.Cancelled)


@define(eq=False)
class Slowness(Steps):
    """Measures the longest step in real seconds. No other task runs during a step."""

    longest_s: float = 0.0
    _since: float | None = None

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Record the beginning of a step."""
        del task
        self._since = perf_counter()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """Record the end of a step, except the one in which this was opened."""
        del task
        if self._since is not None:
            self.longest_s = max(self.longest_s, perf_counter() - self._since)


@define(eq=False)
class Sleeps(Steps):
    """Records calls that block trio's own thread: `time.sleep`, and sockets in blocking mode."""

    seen: list[str] = Factory(list)
    """The steps, each with the line of its call."""
    _in_step: bool = True
    _before: Any = None

    def __enter__(self) -> Self:
        super().__enter__()
        self._before = sys.getprofile()
        sys.setprofile(self._called)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.setprofile(self._before)
        super().__exit__(kind, error, trace)

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Record the begin of a step: only blocking within a step counts."""
        del task
        self._in_step = True

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """Record the end of a step."""
        del task
        self._in_step = False

    def _called(self, frame: FrameType, event: str, what: Any) -> None:
        if event == "c_call" and self._in_step and _waits(what):
            place = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
            name = "time.sleep" if _sleeps(what) else what.__qualname__
            self.seen.append(f"{name} ({place})")


def _waits(called: Any) -> bool:
    if _sleeps(called):
        return True
    owner = getattr(called, "__self__", None)
    return isinstance(owner, socket) and called.__name__ in WAITING and owner.gettimeout() != 0


def _sleeps(called: Any) -> bool:
    return called is time.sleep  # noqa: TID251 -- that is what is looked for
