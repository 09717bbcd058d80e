"""The network of simulated workloads: a fake channel with more faults, which knows what was confirmed."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from random import Random

import trio
from attrs import define, field, frozen

from nanoclaw.channels.protocol import ChannelUnavailable
from nanoclaw.records import Clicked, Event, InboundEvent, Outgoing, Receipt, Routed
from nanoclaw.testing.world.channel import FakeChannel

ROUNDING_S = 0.002
"""Dates are kept to the millisecond."""
SILENCE_S = 90.0
"""Longer than any host waits for a receipt."""


@frozen
class Accepted:
    """One event that the host has confirmed."""

    event: InboundEvent
    routed: Routed


@define(eq=False)
class FaultyNetwork(FakeChannel):
    """A network of simulated workloads."""

    accepted: list[Accepted] = field(factory=list, init=False)
    """All confirmed events, in order. An event that is offered twice is confirmed twice."""
    clicked: list[tuple[Clicked, Routed]] = field(factory=list, init=False)
    """All pressed buttons, also those that did not count."""
    twice: int = field(default=0, init=False)
    """The number of further events that are offered twice at once."""
    silent: int = field(default=0, init=False)
    """The number of further messages that are taken without a receipt."""
    given_up: trio.Event = field(factory=trio.Event, init=False)
    """Set when the host gives up waiting for a receipt; then there is another one."""
    late: int = field(default=0, init=False)
    """The number of further messages that arrive only with `arrive`."""
    _under_way: list[Outgoing] = field(factory=list, init=False)
    retry_after: list[float] = field(factory=list, init=False)
    """The pauses that further deliveries are told to make."""
    _delays: Random | None = field(default=None, init=False)

    @contextmanager
    def reordering(self, random: Random) -> Iterator[None]:
        """Deliver events of several chats in another order while the block runs."""
        self._delays = random
        try:
            yield
        finally:
            self._delays = None

    def heal(self) -> None:
        """Forget all faults."""
        super().heal()
        self.twice = self.silent = self.late = self.unreachable = 0
        self.retry_after.clear()
        self.hints_hang = False

    def arrive(self) -> None:
        """Let late messages arrive now."""
        for outgoing in self._under_way:
            self._keep(outgoing)
        self._under_way.clear()

    async def offer(self, event: Event) -> Routed:
        """Offer an event, late or twice; return when it is confirmed."""
        if self._delays is not None:
            await trio.sleep(self._delays.uniform(0.0, 5.0))
        if not self.twice:
            return await self._offer(event)
        self.twice -= 1
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._offer, event)
            return await self._offer(event)

    async def _offer(self, event: Event) -> Routed:
        routed = await super().offer(event)
        if isinstance(event, InboundEvent):
            self.accepted.append(Accepted(event, routed))
        else:
            self.clicked.append((event, routed))
        return routed

    async def deliver(self, outgoing: Outgoing) -> Receipt:
        """Take a message, or meet a fault."""
        if self.retry_after:
            self.attempts.append(outgoing)
            await trio.lowlevel.checkpoint()
            pause_s = self.retry_after.pop()
            raise ChannelUnavailable("too many messages", pause_s)
        if self.late and self.repeat != "look up":  # a network that was asked in vain must not have it later
            self.late -= 1
            self.attempts.append(outgoing)
            self._under_way.append(outgoing)
            await trio.sleep(SILENCE_S)
        receipt = await super().deliver(outgoing)
        if self.silent:
            self.silent -= 1
            await self._say_nothing()
        return receipt

    async def _say_nothing(self) -> None:
        try:
            await trio.sleep(SILENCE_S)
        finally:
            self.given_up.set()
            self.given_up = trio.Event()

    def receipts(self) -> Mapping[str, Sequence[str]]:
        """Return the network's ids of each message, by the message's key."""
        found = defaultdict[str, list[str]](list)
        for n, one in enumerate(self.sent, 1):
            found[one.message_out_id].append(self._id(self.channel_type, n))
        return found
