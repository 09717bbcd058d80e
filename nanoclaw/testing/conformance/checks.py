"""The parts of all suites: checks, hooks and their errors."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import TypeVar

import trio
from attrs import field, frozen

T = TypeVar("T")

LIMIT_S = 60.0
"""Seconds after which a check fails because it waits for an event that does not come."""


class NotConforming(AssertionError):
    """A violation of a protocol. The text names the check, what was expected, and what happened."""


class NotApplicable(Exception):
    """The check does not apply: a hook is missing, or the implementation does not claim the feature."""


@frozen
class Check:
    """One check of one implementation; its text is its name, for `ids=str`."""

    name: str
    """The name of the requirement that it checks."""
    _run: Callable[[], Awaitable[str | None]] = field(repr=False)

    def __str__(self) -> str:
        return self.name

    async def __call__(self) -> str | None:
        """Run the check. Return None if it holds, or the reason why it does not apply.

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
    """Make a check of each function. Each check opens a new object with `open_`."""
    return [Check(function.__name__, partial(_run, function, open_)) for function in functions]


async def _run(
    function: Callable[[T], Awaitable[None]], open_: Callable[[], AbstractAsyncContextManager[T]]
) -> str | None:
    verdict: NotConforming | NotApplicable | None = None
    async with open_() as tested:  # what is raised in it may come out in a group
        try:
            await function(tested)
        except (NotConforming, NotApplicable, ExceptionGroup) as error:
            verdict = _verdict(error)
            if verdict is None:
                raise
    if isinstance(verdict, NotConforming):
        raise NotConforming(f"{function.__name__}: {verdict}") from verdict
    return None if verdict is None else str(verdict)


def _verdict(error: Exception) -> NotConforming | NotApplicable | None:
    """Return the error of a check, unwrapped from groups; None if another error occurred."""
    match error:
        case NotConforming() | NotApplicable():
            return error
        case ExceptionGroup():
            found = [_verdict(one) for one in error.exceptions]
            failed = next((one for one in found if isinstance(one, NotConforming)), None)
            return failed or (found[0] if None not in found else None)
        case _:
            return None


def require(holds: object, sentence: str) -> None:
    """Raise NotConforming with the sentence unless it holds."""
    if not holds:
        raise NotConforming(sentence)


def hook(given: T | None, name: str) -> T:
    """Return a hook. Raises NotApplicable if it was not given."""
    if given is None:
        raise NotApplicable(f"no hook `{name}` was given")
    return given


def only(applies: object, reason: str) -> None:
    """Raise NotApplicable unless a check applies."""
    if not applies:
        raise NotApplicable(reason)
