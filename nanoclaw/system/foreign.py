"""The edge to code of other authors: channels, runtimes, handlers of requests, operations of packages.

Such code may raise anything. Its nurseries put errors into groups. Some libraries raise errors that are no
`Exception`, and some errors have no readable text. Without this edge, one of them would end the host.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from inspect import isawaitable
from itertools import islice
from math import inf

import trio

from nanoclaw.records.content import storable

MAX_TEXT = 4_000
"""Limit of an error's text in characters."""
MAX_SHOWN = 500
"""Limit of the description of one error in characters."""
MAX_DESCRIBED = 5
"""Limit of the errors of a group that a description names."""
_EXITS = (KeyboardInterrupt, SystemExit, GeneratorExit)


class ForeignError(Exception):
    """Code of another author failed: `error` is what it raised, and the text describes it."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(described(error))
        self.error = error


@contextmanager
def ungrouped(*kinds: type[BaseException]) -> Iterator[None]:
    """Raise an exception group whose errors are all of one kind as the first of its errors.

    The kind of an error is the first of `kinds` that it is an instance of. A cancellation beside other errors
    does not count. A group with several kinds, or with an error of no kind, is raised unchanged.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        error = without_group(group, *kinds)
        if error is group:
            raise
        # Not from the group: it contains the error, so a walk along the causes would not end.
        raise error from error.__cause__


@contextmanager
def foreign_code(*kinds: type[Exception]) -> Iterator[None]:
    """Run code of another author. Groups are treated as by `ungrouped`.

    A cancellation passes if it is the caller's own, as do `KeyboardInterrupt` and `SystemExit`. Blocks may be
    nested.

    Raises:
        *kinds: unchanged.
        ForeignError: the code raised anything else.
    """
    try:
        yield
    except BaseException as raised:
        error = without_group(raised, *kinds, Exception)
        if isinstance(error, (*kinds, ForeignError)) or _passes(error):
            if error is raised:
                raise
            raise error from error.__cause__
        raise ForeignError(error) from error


async def result_of(returned: object) -> object:
    """Return the result of a foreign method that should be async. A plain one has returned it already."""
    return await returned if isawaitable(returned) else returned


def without_group(error: BaseException, *kinds: type[BaseException]) -> BaseException:
    """Return the error that `ungrouped` would raise. An error that is no group is returned unchanged."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    leaves = [leaf for leaf in leaves_of(error) if not isinstance(leaf, trio.Cancelled)]
    found = {next((kind for kind in kinds if isinstance(leaf, kind)), None) for leaf in leaves}
    return error if len(found) != 1 or None in found else leaves[0]


def described(error: BaseException) -> str:
    """Return an error as Python shows it, shortened; of a group, the errors in it. It never raises."""
    return "; ".join(map(_shown, islice(leaves_of(error), MAX_DESCRIBED)))


def _shown(error: BaseException) -> str:
    try:
        return storable(repr(error)[:MAX_SHOWN])
    except Exception:  # noqa: BLE001 -- `__repr__` is foreign, too
        return f"{type(error).__name__} without a readable text"


def text_of(error: BaseException) -> str:
    """Return the text of an error, shortened and fit for a database. It never raises."""
    try:
        return storable(str(error)[:MAX_TEXT])
    except Exception:  # noqa: BLE001 -- `__str__` is foreign, too
        return described(error)


def _passes(error: BaseException) -> bool:
    """Return True if an error must reach the caller: it asks this task, or the program, to end."""
    leaves = list(leaves_of(error))
    if any(isinstance(leaf, _EXITS) for leaf in leaves):
        return True
    cancelled = any(isinstance(leaf, trio.Cancelled) for leaf in leaves)
    return cancelled and not (trio.lowlevel.in_trio_task() and trio.current_effective_deadline() > -inf)


def leaves_of(error: BaseException) -> Iterator[BaseException]:
    """Yield the errors in a group at any depth, in order. For any other error, yield it."""
    left = [error]
    while left:
        each = left.pop()
        if isinstance(each, BaseExceptionGroup):
            left.extend(reversed(each.exceptions))
        else:
            yield each
