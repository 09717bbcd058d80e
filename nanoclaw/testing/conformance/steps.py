"""The steps of a check: each wait for the code under test has a name and a limit, so that a hang is named."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from math import inf
from pathlib import Path
from traceback import walk_tb
from typing import ParamSpec, TypeVar

import outcome
import trio
from attrs import define

from nanoclaw.system.foreign import leaves_of
from nanoclaw.testing.conformance.checks import NotConforming, current_limit

P = ParamSpec("P")
T = TypeVar("T")

STEP_S = 20.0
"""Seconds after which a step hangs."""
_NOT_UNDER_TEST = (
    str(Path(trio.__file__).parent),
    str(Path(outcome.__file__).parent),
    str(Path(__file__).parent),
    asynccontextmanager.__code__.co_filename,
)


@contextmanager
def step(doing: str, limit_s: float = STEP_S) -> Iterator[None]:
    """Name what the block waits for.

    Raises:
        NotConforming: it takes longer than the limit. The text names the step and the line that waited.
    """
    wait = _Wait(doing)
    with trio.move_on_after(limit_s) as scope, wait.noting_its_end():
        yield
    if scope.cancel_called:
        raise wait.hangs(limit_s)


@asynccontextmanager
async def step_context(
    doing: str, manager: AbstractAsyncContextManager[T], limit_s: float = STEP_S
) -> AsyncIterator[T]:
    """Open a context in one step, and close it in another one.

    Raises:
        NotConforming: one of them takes longer than the limit.
    """
    wait = _Wait(f"{doing} to open")
    with trio.CancelScope(deadline=trio.current_time() + limit_s) as scope, wait.noting_its_end():
        async with manager as value:
            wait.doing, scope.deadline = None, inf
            try:
                yield value
            finally:
                wait.doing, scope.deadline = f"{doing} to close", trio.current_time() + limit_s
    if scope.cancelled_caught:
        raise wait.hangs(limit_s)


def stepped(
    doing: str, call: Callable[P, Awaitable[T]], limit_s: float = STEP_S
) -> Callable[P, Awaitable[T]]:
    """Return the function as a step."""

    async def run(*arguments: P.args, **named: P.kwargs) -> T:
        with step(doing, limit_s):
            return await call(*arguments, **named)

    return run


@define(eq=False)
class _Wait:
    """A wait for the code under test."""

    doing: str | None
    """The step that is being waited for, or None."""
    place: str = ""
    """The line that waited when it was cancelled."""

    def hangs(self, limit_s: float) -> NotConforming:
        return NotConforming(f"waited {limit_s:g} s for {self.doing}{self.place}")

    @contextmanager
    def noting_its_end(self) -> Iterator[None]:
        """Note where the block waits if it is cancelled. Tell the check if that was its own limit."""
        try:
            yield
        except BaseException as error:
            limit = current_limit()
            if self.doing is not None:
                self.place = _place(error)
                if limit is not None and limit.scope.cancel_called:
                    limit.cut.append(f"{self.doing}{self.place}")
            raise


def _place(error: BaseException) -> str:
    """Return the line of the code under test that a cancellation was raised in, if that is known."""
    for leaf in leaves_of(error):
        frames = [(frame.f_code.co_filename, line) for frame, line in walk_tb(leaf.__traceback__)]
        tested = [frame for frame in frames if not frame[0].startswith(_NOT_UNDER_TEST)]
        if isinstance(leaf, trio.Cancelled) and tested:
            file, line = tested[-1]
            return f", which waits at {Path(file).name}:{line}"
    return ""
