"""The edge to code of other authors: groups, cancellations, errors that are no exceptions or have no text."""

import asyncio
from collections.abc import Callable

import pytest
import trio

from nanoclaw.channels.protocol import ChannelUnavailable, DeliveryRejected
from nanoclaw.system.foreign import ForeignError, foreign_code, ungrouped

KINDS = (DeliveryRejected, ChannelUnavailable)


class Unreadable(Exception):
    """An error whose text cannot be read."""

    def __str__(self) -> str:
        raise ValueError("no text")

    __repr__ = __str__


def raises(error: BaseException, *kinds: type[BaseException]) -> BaseException:
    """Return what comes out of `ungrouped`."""
    try:
        with ungrouped(*kinds):
            raise error  # noqa: TRY301 -- in the block under test
    except BaseException as raised:  # noqa: BLE001 -- that is the result
        return raised


def a_cancellation() -> trio.Cancelled:
    """Return a cancellation that belongs to no scope of the caller."""

    async def take() -> trio.Cancelled:
        with trio.CancelScope() as scope:
            scope.cancel()
            try:
                await trio.sleep_forever()
            except trio.Cancelled as error:
                taken.append(error)
                raise
        return taken[0]

    taken = list[trio.Cancelled]()
    return trio.run(take)


CANCELLED = a_cancellation()


def test_a_group_of_one_kind_is_raised_as_one_of_its_errors() -> None:
    busy, other = ChannelUnavailable("429", 15), ChannelUnavailable("503")
    deep = ExceptionGroup("a", [ExceptionGroup("b", [busy]), ExceptionGroup("c", [other])])
    assert raises(deep, *KINDS) is busy
    assert raises(BaseExceptionGroup("a", [CANCELLED, busy]), *KINDS) is busy


def test_a_group_keeps_its_cause_and_makes_no_circle() -> None:
    busy, cause = ChannelUnavailable("429"), OSError("reset")
    busy.__cause__ = cause
    assert raises(ExceptionGroup("a", [busy]), *KINDS).__cause__ is cause


@pytest.mark.parametrize(
    "errors",
    [
        [ChannelUnavailable("429"), DeliveryRejected("no")],
        [ChannelUnavailable("429"), ValueError("x")],
        [ChannelUnavailable("429"), KeyboardInterrupt()],
        [CANCELLED],
    ],
)
def test_a_group_of_several_kinds_or_of_none_is_raised_unchanged(errors: list[BaseException]) -> None:
    group = BaseExceptionGroup("a", errors)
    assert raises(group, *KINDS) is group


def test_subclasses_are_of_the_kind_of_their_class() -> None:
    class Limited(ChannelUnavailable): ...

    limited = Limited("429")
    group = ExceptionGroup("a", [limited, ChannelUnavailable("503")])
    assert raises(group, *KINDS) is limited


# -- whatever foreign code raises ----------------------------------------------------


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("x"), "ValueError('x')"),
        (ExceptionGroup("a", [ValueError("x")]), "ValueError('x')"),
        (
            ExceptionGroup("a", [ChannelUnavailable("429"), ValueError("x")]),
            "ChannelUnavailable('429'); ValueError('x')",
        ),
        (asyncio.CancelledError(), "CancelledError()"),
        (Unreadable(), "Unreadable without a readable text"),
        (CANCELLED, "Cancelled"),
        (BaseExceptionGroup("a", [CANCELLED]), "Cancelled"),
        (StopIteration(), "StopIteration()"),
    ],
)
async def test_everything_else_becomes_one_error_with_its_text(error: BaseException, words: str) -> None:
    with pytest.raises(ForeignError) as raised, foreign_code(*KINDS):
        raise error
    assert words in str(raised.value)


@pytest.mark.parametrize("make", [KeyboardInterrupt, SystemExit, GeneratorExit])
async def test_an_order_to_end_passes(make: Callable[[], BaseException]) -> None:
    error = make()
    with pytest.raises(type(error)), foreign_code(*KINDS):
        raise error
    with pytest.raises(BaseExceptionGroup), foreign_code(*KINDS):
        raise BaseExceptionGroup("a", [error, ValueError("x")])


async def test_a_cancellation_of_the_caller_passes() -> None:
    with trio.move_on_after(0) as scope, foreign_code(*KINDS):
        await trio.sleep_forever()
    assert scope.cancelled_caught
