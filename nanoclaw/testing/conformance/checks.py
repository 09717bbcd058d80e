"""The parts of all suites: checks, hooks and their errors."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from functools import partial
from typing import TypeVar

import trio
from attrs import Factory, define, field, frozen

T = TypeVar("T")

LIMIT_S = 60.0
"""Seconds after which a check fails because it waits for an event that does not come."""


class NotConforming(AssertionError):
    """A violation of a protocol. The text names the check, what was expected, and what happened."""


class NotApplicable(Exception):
    """The check does not apply: a hook is missing, or the implementation does not claim the feature."""


@define(eq=False)
class Limit:
    """The limit of a running check."""

    scope: trio.CancelScope
    cut: list[str] = Factory(list)
    """The waits that the limit cut short, inner ones first."""


_limit: ContextVar[Limit | None] = ContextVar("limit", default=None)
current_limit = _limit.get
"""Return the limit of the check that runs this code, or None."""


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
        try:
            return await self._within_limit()
        except NotConforming as error:
            raise NotConforming(f"{self.name}: {error}") from error

    async def _within_limit(self) -> str | None:
        limit = Limit(trio.CancelScope(deadline=trio.current_time() + LIMIT_S))
        with limit.scope:
            token = _limit.set(limit)
            try:
                return await self._run()
            finally:
                _limit.reset(token)
        waited = f"; it waited for {', in '.join(limit.cut)}" if limit.cut else ""
        raise NotConforming(f"not done within {LIMIT_S:g} s{waited}")


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
        raise verdict
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
