"""The network of simulated workloads: a fake channel with more faults and a record of confirmed events."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from random import Random
from typing import Literal, cast

import trio
from attrs import define, field, frozen

from nanoclaw.channels.protocol import ChannelUnavailable
from nanoclaw.records import (
    Clicked,
    Deleted,
    Event,
    InboundEvent,
    Outgoing,
    Reacted,
    Receipt,
    Routed,
    Webhook,
)
from nanoclaw.testing.world.channel import FakeChannel

ROUNDING_S = 0.002
"""Dates are kept to the millisecond."""
SILENCE_S = 90.0
"""Seconds: longer than any host waits for a receipt."""
BUSY_S = 15.0
"""The pause that a refusal in a group asks for."""

CodeFault = Literal[
    "error", "error after", "refusal in a group", "errors in a group", "no exception", "no receipt"
]
"""A fault in the code of a channel: an error before or after the network has the message, a refusal or
several errors in a group, an error that is no `Exception`, or a missing receipt."""


class NoException(BaseException):
    """An error of a library that is no `Exception`."""


_OF_LOOKUPS = frozenset({"error", "refusal in a group", "errors in a group", "no exception"})


@frozen
class Accepted:
    """One event that the host has confirmed."""

    event: InboundEvent
    routed: Routed
    since: float = 0.0
    """The time at which it was offered first."""
    at: float = 0.0
    """The time at which it was confirmed."""


@frozen
class OtherAccepted:
    """One deletion, reaction or webhook that the host has confirmed."""

    event: Deleted | Reacted | Webhook
    routed: Routed
    since: float
    """The time at which it was offered first."""
    at: float
    """The time at which it was confirmed."""


@define(eq=False)
class FaultyNetwork(FakeChannel):
    """A network of simulated workloads."""

    accepted: list[Accepted] = field(factory=list, init=False)
    """All confirmed events, in order. An event that is offered twice is here twice."""
    clicked: list[tuple[Clicked, Routed]] = field(factory=list, init=False)
    """All clicks, including dropped ones."""
    others: list[OtherAccepted] = field(factory=list, init=False)
    """All deletions, reactions and webhooks, including dropped ones."""
    twice: int = field(default=0, init=False)
    """The number of next events to offer twice at once."""
    silent: int = field(default=0, init=False)
    """The number of next messages to take without a receipt."""
    given_up: trio.Event = field(factory=trio.Event, init=False)
    """Set when the host gives up waiting for a receipt, and then replaced by a new event."""
    late: int = field(default=0, init=False)
    """The number of next messages to hold back until `arrive`."""
    kept_at: list[float] = field(factory=list, init=False)
    """The times at which the messages in `sent` arrived."""
    _under_way: list[Outgoing] = field(factory=list, init=False)
    retry_after: list[float] = field(factory=list, init=False)
    """The pauses that the next deliveries are asked to make."""
    code_faults: list[CodeFault] = field(factory=list, init=False)
    """The faults of the next deliveries and lookups."""
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
        """End all faults."""
        super().heal()
        self.twice = self.silent = self.late = self.unreachable = 0
        self.retry_after.clear()
        self.hints_hang, self.hints_raise = False, None
        self.code_faults.clear()

    def arrive(self) -> None:
        """Let the late messages arrive."""
        for outgoing in self._under_way:
            self._keep(outgoing)
        self._under_way.clear()

    async def offer(self, event: Event) -> Routed:
        """Offer an event, possibly late or twice. Return when it is confirmed."""
        if self._delays is not None:
            await trio.sleep(self._delays.uniform(0.0, 5.0))
        if not self.twice:
            return await self._offer(event)
        self.twice -= 1
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._offer, event)
            return await self._offer(event)

    def _keep(self, outgoing: Outgoing) -> Receipt:
        receipt = super()._keep(outgoing)
        self.kept_at += [trio.current_time()] * (len(self.sent) - len(self.kept_at))
        return receipt

    async def _offer(self, event: Event) -> Routed:
        since = trio.current_time()
        routed = await super().offer(event)
        if isinstance(event, InboundEvent):
            self.accepted.append(Accepted(event, routed, since, trio.current_time()))
        elif isinstance(event, Clicked):
            self.clicked.append((event, routed))
        elif isinstance(event, Deleted | Reacted | Webhook):
            self.others.append(OtherAccepted(event, routed, since, trio.current_time()))
        return routed

    async def deliver(self, outgoing: Outgoing) -> Receipt:
        """Take a message, or fail as the faults say."""
        if self.retry_after:
            self.attempts.append(outgoing)
            await trio.lowlevel.checkpoint()
            pause_s = self.retry_after.pop()
            raise ChannelUnavailable("too many messages", pause_s)
        if (
            self.late and self.repeat != "look up"
        ):  # such a network must not get a message after `find` returned None
            self.late -= 1
            self.attempts.append(outgoing)
            self._under_way.append(outgoing)
            await trio.sleep(SILENCE_S)
        if self.code_faults:
            self.attempts.append(outgoing)
            await trio.lowlevel.checkpoint()
            return await self._fail_in_code(self.code_faults.pop(), outgoing)
        receipt = await super().deliver(outgoing)
        if self.silent:
            self.silent -= 1
            await self._say_nothing()
        return receipt

    async def look_up(self, outgoing: Outgoing) -> Receipt | None:
        """Look a message up, or fail as the faults say."""
        if self.code_faults and self.code_faults[-1] in _OF_LOOKUPS:
            await self._fail_in_code(self.code_faults.pop(), outgoing)
        return await super().look_up(outgoing)

    async def _fail_in_code(self, fault: CodeFault, outgoing: Outgoing) -> Receipt:
        match fault:
            case "error":
                raise ValueError("a bug of the channel")
            case "error after":
                self._keep(outgoing)
                raise ValueError("a bug of the channel, after it had the message")
            case "refusal in a group":
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(trio.sleep_forever)
                    raise ChannelUnavailable("too many messages", BUSY_S)
            case "errors in a group":
                raise ExceptionGroup("bugs", [ChannelUnavailable("perhaps"), ValueError("a bug")])
            case "no exception":
                raise NoException
            case "no receipt":
                self._keep(outgoing)
        return cast("Receipt", None)

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
