"""What all suites are made of: a check is a name and something to run; what does not conform is one error."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import TypeVar

import trio
from attrs import field, frozen

T = TypeVar("T")

LIMIT_S = 60.0
"""No check takes as long; one that does is waiting for something that does not come."""


class NotConforming(AssertionError):
    """It does not do what its protocol says; the text has the check, what was expected, and what happened."""


class NotApplicable(Exception):
    """A check has nothing to try here: a hook is missing, or the implementation does not claim it."""


@frozen
class Check:
    """One check of one implementation; its text is its name, for `ids=str`."""

    name: str
    _run: Callable[[], Awaitable[str | None]] = field(repr=False)

    def __str__(self) -> str:
        return self.name

    async def __call__(self) -> str | None:
        """Run it. None: it holds; else why there was nothing to check.

        Raises:
            NotConforming: it does not hold.
            Exception: whatever else the implementation raises.
        """
        with trio.move_on_after(LIMIT_S) as scope:
            return await self._run()
        if scope.cancelled_caught:
            raise NotConforming(f"{self.name}: not done within {LIMIT_S:g} s")
        return None


def checks_of(
    functions: Iterable[Callable[[T], Awaitable[None]]], open_: Callable[[], AbstractAsyncContextManager[T]]
) -> Sequence[Check]:
    """Each function as a check of a fresh one of what `open_` opens."""
    return [Check(function.__name__, partial(_run, function, open_)) for function in functions]


async def _run(
    function: Callable[[T], Awaitable[None]], open_: Callable[[], AbstractAsyncContextManager[T]]
) -> str | None:
    reason: str | None = None
    failed: NotConforming | None = None
    async with open_() as tested:  # what is raised in it may come out in a group
        try:
            await function(tested)
        except NotApplicable as error:
            reason = str(error)
        except (NotConforming, ExceptionGroup) as error:
            failed = _first(error)
            if failed is None:
                raise
    if failed is not None:
        raise NotConforming(f"{function.__name__}: {failed}") from failed
    return reason


def _first(error: NotConforming | ExceptionGroup[Exception]) -> NotConforming | None:
    if isinstance(error, NotConforming):
        return error
    found = (_first(one) for one in error.exceptions if isinstance(one, NotConforming | ExceptionGroup))
    return next((one for one in found if one is not None), None)


def require(holds: object, sentence: str) -> None:
    """Raise NotConforming with the sentence unless it holds."""
    if not holds:
        raise NotConforming(sentence)


def hook(given: T | None, name: str) -> T:
    """A hook that was given. Raises NotApplicable where it was not."""
    if given is None:
        raise NotApplicable(f"no hook `{name}` was given")
    return given


def only(applies: object, reason: str) -> None:
    """Raise NotApplicable unless a check applies."""
    if not applies:
        raise NotApplicable(reason)
