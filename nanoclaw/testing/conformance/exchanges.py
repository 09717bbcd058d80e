"""The actions of the channel suite, which stands in for the host."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import trio
from attrs import Factory, define

from nanoclaw.channels.protocol import Channel, ChannelUnavailable, DeliveryRejected, Sender
from nanoclaw.channels.senders import HINT_TIMEOUT_S
from nanoclaw.records import (
    Address,
    BadEvent,
    Clicked,
    Event,
    InboundEvent,
    Intake,
    NotAccepted,
    Outgoing,
    Receipt,
    Routed,
    TextContent,
    received,
)
from nanoclaw.testing.conformance.checks import NotConforming, require

SOON_S = 10.0
"""Seconds within which a network that is up answers."""
AGAIN_S = 0.1


def outgoing(address: Address, text: str, key: str | None = None) -> Outgoing:
    """Return a message. Its key is derived from its text, unless one is given."""
    return Outgoing(key or f"out-{text}", address, TextContent(text))


async def deliver(sender: Sender, message: Outgoing) -> Receipt:
    """Deliver to a network that is up.

    Raises:
        NotConforming: it refuses, or does not answer soon.
    """
    try:
        with trio.fail_after(SOON_S):
            return await sender.deliver(message)
    except trio.TooSlowError as error:
        raise NotConforming(f"the network is up, and deliver took more than {SOON_S:g} s") from error
    except (ChannelUnavailable, DeliveryRejected) as error:
        raise NotConforming(f"the network is up, and deliver raised {error!r}") from error


async def failure(sender: Sender, message: Outgoing) -> Exception | None:
    """Return what a delivery raised, a time-out included; None if it gave a receipt."""
    try:
        with trio.fail_after(SOON_S):
            await sender.deliver(message)
    except Exception as error:  # noqa: BLE001 -- the caller wants the error
        return error
    return None


async def failure_with_connection(channel: Channel, message: Outgoing) -> Exception | None:
    """Return the error of a delivery with its own sender; opening or closing the sender may fail, too."""
    try:
        async with channel.sender() as sender:
            return await failure(sender, message)
    except Exception as error:  # noqa: BLE001 -- the caller wants the error
        return error


async def hint(sender: Sender, address: Address) -> None:
    """Give both hints, for as long as the host waits for one. Raises NotConforming if one raises."""
    hints = {
        "typing": partial(sender.typing, address),
        "settled": partial(sender.settled, address, "message-1", "completed"),
    }
    for name, give in hints.items():
        try:
            with trio.move_on_after(HINT_TIMEOUT_S):
                await give()
        except Exception as error:
            raise NotConforming(f"{name} raised {error!r}") from error


@define(eq=False)
class Host(Intake):
    """Accepts what a channel offers, at once or after `let`. It refuses the first `refusals` events."""

    at_once: bool = True
    refusals: int = 0
    seen: list[InboundEvent] = Factory(list)
    stored: list[InboundEvent] = Factory(list)
    clicks: list[Clicked] = Factory(list)
    """The stored presses, one for each question."""
    offered: trio.Event = Factory(trio.Event)
    _let: trio.Event = Factory(trio.Event)

    def let(self) -> None:
        """Store offered events from now on."""
        self._let.set()

    async def offer(self, event: Event) -> Routed:
        """Take an event."""
        require(isinstance(event, Event), f"offered {event!r}, which is neither InboundEvent nor Clicked")
        try:
            event = received(event)
        except BadEvent as error:
            raise NotConforming(f"offered what no host takes: {error}") from error
        if isinstance(event, InboundEvent):
            self.seen.append(event)
        self.offered.set()
        await trio.lowlevel.checkpoint()
        if self.refusals:
            self.refusals -= 1
            raise NotAccepted("the disk is full")
        if not self.at_once:
            await self._let.wait()
        return self._click(event) if isinstance(event, Clicked) else self._store(event)

    def _store(self, event: InboundEvent) -> Routed:
        if event.message_id not in {one.message_id for one in self.stored}:
            self.stored.append(event)
        return Routed(("sess-1",), (event.message_id,))

    def _click(self, click: Clicked) -> Routed:
        if click.question_id in {one.question_id for one in self.clicks}:
            return Routed(dropped="it is answered")
        self.clicks.append(click)
        return Routed(("sess-1",), ("answer-1",))


@asynccontextmanager
async def receiving(channel: Channel, host: Host) -> AsyncIterator[None]:
    """Receive as a host does while the context is open. A receiving half that fails is restarted."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_receive, channel, host)
        yield
        nursery.cancel_scope.cancel()


async def _receive(channel: Channel, host: Host) -> None:
    while True:
        try:
            await channel.receive(host)
        except NotConforming:
            raise
        except Exception:  # noqa: BLE001 -- it may fail of what it likes, such as of what `offer` raised
            await trio.sleep(AGAIN_S)
        else:
            return
