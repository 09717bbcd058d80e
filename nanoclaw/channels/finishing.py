"""Finishes the offer of an event with files before its channel may remove them."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio
from outcome import Error, Outcome, Value

from nanoclaw.records import Event, InboundEvent

T = TypeVar("T")

FINISH_S = 5.0
"""Longest time in seconds by which an offer outlasts its cancellation."""


def names_files(event: Event) -> bool:
    """Return True if the event names files, which its channel removes after the offer."""
    return isinstance(event, InboundEvent) and any(each.path for each in event.message.attachments)


async def finished(call: Callable[[], Awaitable[T]], within_s: float = FINISH_S) -> T:
    """Run `call`. If it is cancelled, let it go on for at most `within_s` seconds.

    Raises whatever `call` raises.
    """
    scope = trio.CancelScope(shield=True)
    outcomes = list[Outcome[T]]()

    async def limit() -> None:
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            scope.deadline = trio.current_time() + within_s
            raise

    async with trio.open_nursery() as nursery:
        nursery.start_soon(limit)
        with scope:
            outcomes.append(await _outcome(call))
        nursery.cancel_scope.cancel()
    return outcomes[0].unwrap()  # without one, the nursery has raised Cancelled


async def _outcome(call: Callable[[], Awaitable[T]]) -> Outcome[T]:
    """Return what the call returns or raises, so that no nursery wraps its error."""
    try:
        return Value(await call())
    except Exception as error:  # noqa: BLE001 -- it is raised again
        return Error(error)
