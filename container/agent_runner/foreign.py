"""The edge to async code that other people write: providers and tools.

The host has the same functions for channels, in `nanoclaw/system/foreign.py`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

import trio

MAX_DESCRIBED = 5
"""Limit of the errors of a group that a description names."""
_PASSING = (trio.Cancelled, KeyboardInterrupt, SystemExit, GeneratorExit)


class ForeignError(Exception):
    """Code of another author raised an error that is no `Exception`. The text describes it."""


@contextmanager
def foreign_code(*kinds: type[Exception]) -> Iterator[None]:
    """Run code of another author. Groups are treated as by `ungrouped`.

    Some libraries raise errors that are no `Exception`, such as `asyncio.CancelledError`. They must not end
    the runner. Cancellations of trio pass, as do `KeyboardInterrupt` and `SystemExit`.

    Raises:
        ForeignError: instead of an error that is no `Exception`.
    """
    try:
        with ungrouped(*kinds):
            yield
    except Exception:
        raise
    except BaseException as error:
        if any(isinstance(leaf, _PASSING) for leaf in _leaves(error)):
            raise
        raise ForeignError(describe(error)) from error


@contextmanager
def ungrouped(*kinds: type[Exception]) -> Iterator[None]:
    """Raise an exception group whose errors are all of one kind as the first of its errors.

    A nursery wraps the errors of its tasks into a group. The kind of an error is the first of `kinds` that it
    is an instance of. Cancellations beside other errors do not count. A group with several kinds, or with an
    error of no kind, is raised without its cancellations.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        _, errors = group.split(trio.Cancelled)
        if errors is None:
            raise
        found = {_kind(error, kinds) for error in _leaves(errors)}
        if len(found) != 1 or None in found:
            raise errors from group.__cause__
        error = next(_leaves(errors))
        # Not from the group: it contains the error, so a walk along the causes would not end.
        raise error from error.__cause__


def describe(error: BaseException) -> str:
    """Return an error in words: its type and its text; of a group, those of its errors. It never raises."""
    return "; ".join(dict.fromkeys(map(_describe_one, islice(_leaves(error), MAX_DESCRIBED))))


def _describe_one(error: BaseException) -> str:
    try:
        return str(error) if isinstance(error, ForeignError) else f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 -- `__str__` is foreign, too
        return f"{type(error).__name__} without a readable text"


def _kind(error: BaseException, kinds: Sequence[type[Exception]]) -> type[Exception] | None:
    return next((kind for kind in kinds if isinstance(error, kind)), None)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield the errors in a group at any depth, in order. For any other error, yield it."""
    left = [error]
    while left:
        each = left.pop()
        if isinstance(each, BaseExceptionGroup):
            left.extend(reversed(each.exceptions))
        else:
            yield each
