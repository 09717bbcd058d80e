"""The receivers: one actor per channel takes its events and offers them to the intake.

A receiver that fails is called again, whatever it raised: the host cannot tell a bad event from a lost
connection. It is never buried, so later events wait for seconds, not for minutes.
"""

import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import trio
from attrs import frozen

from actors import Backoff, Context, Node, Policy, Refusal, Supervisor
from nanoclaw.channels.conditions import WELL_S, Conditions, noted
from nanoclaw.channels.protocol import Channel
from nanoclaw.channels.receipts import unavailable
from nanoclaw.records import Address, BadEvent, Event, Intake, Routed
from nanoclaw.system.foreign import foreign_code
from nanoclaw.system.supervision import Supervision

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 30.0
"""Bounds of the pause before a failed receiver is called again. It doubles, and is reset after `WELL_S`."""
PATIENCE_S = 600.0
"""The longest pause for which a network may ask."""

_POLICY = Policy(
    intensity=sys.maxsize,
    period=WELL_S,
    backoff=Backoff(first=FIRST_PAUSE_S, ceiling=LONGEST_PAUSE_S, jitter=0.25, patience=PATIENCE_S),
)


@frozen
class Receiver:
    """Runs the receiving half of one channel. It takes no actor messages."""


def _recipe(
    channel: Channel, intake: Intake, conditions: Conditions
) -> Callable[[Context[Receiver]], AbstractAsyncContextManager[Receiver]]:
    @asynccontextmanager
    async def recipe(_context: Context[Receiver]) -> AsyncIterator[Receiver]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_receive, channel, intake, conditions)
            yield Receiver()
            nursery.cancel_scope.cancel()

    return recipe


@frozen
class _OwnEvents:
    """The intake of one channel. It takes events of that channel alone."""

    channel_type: str
    intake: Intake

    async def offer(self, event: Event) -> Routed:
        """See `Intake.offer`. Raises BadEvent for an event of a chat of another channel."""
        address = getattr(event, "address", None)
        if isinstance(address, Address) and address.channel_type != self.channel_type:
            await trio.lowlevel.checkpoint()
            raise BadEvent(
                f"the channel {self.channel_type} offers an event of {address.channel_type!r:.60}: "
                "a channel offers those of its own chats"
            )
        return await self.intake.offer(event)


async def _receive(channel: Channel, intake: Intake, conditions: Conditions) -> None:
    """Receive until the channel's input ends.

    Raises:
        ChannelUnavailable: the channel refuses, for example because it cannot reach its network.
        ForeignError: the channel failed in any other way.
    """
    try:
        with noted(conditions, channel.channel_type, "receiver"), foreign_code(Refusal):
            await channel.receive(intake)
    except Refusal as error:
        raise unavailable(error) from error


@frozen
class Receivers:
    """The receiving halves of all channels."""

    _intake: Intake
    _supervisor: Supervisor
    _conditions: Conditions

    def add(self, channel: Channel) -> None:
        """Start the receiving half of a channel. Raises ValueError if there is one of that name."""
        name = channel.channel_type
        self._supervisor.start(name, _recipe(channel, _OwnEvents(name, self._intake), self._conditions))

    def nodes(self) -> Mapping[str, Node]:
        """Return the receiving halves in the live tree, by name."""
        return {node.name: node for node in self._supervisor.tree().children}

    async def remove(self, channel_type: str) -> None:
        """Stop the receiving half of a channel."""
        await self._supervisor.stop(channel_type)


@asynccontextmanager
async def open_receivers(
    channels: Mapping[str, Channel],
    intake: Intake,
    supervision: Supervision,
    *,
    under: Supervisor,
    conditions: Conditions | None = None,
) -> AsyncIterator[Receivers]:
    """Receive on all channels while the context is open. The exit closes the intakes."""
    async with supervision.open("receivers", under=under, policy=_POLICY) as supervisor:
        receivers = Receivers(intake, supervisor, conditions or Conditions())
        for channel in channels.values():
            receivers.add(channel)
        yield receivers
