"""A channel with nothing to connect to: what most networks that live in one's own program are."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from nanoclaw.channels.protocol import Outcome, Repeat
from nanoclaw.records import Address, Intake, Outgoing, Receipt


class SimpleChannel(ABC):
    """To inherit from: a channel that is its own sender, and a program of one's own that knows what to say.

    What comes in is offered by the program (`host.intake.offer`) or by a `receive` that replaces ours.
    """

    channel_type: str
    repeat: Repeat

    @abstractmethod
    async def deliver(self, outgoing: Outgoing, /) -> Receipt:
        """Send one message, as `Sender.deliver` says."""

    async def receive(self, intake: Intake, /) -> None:  # noqa: B027 -- as the next two: no need to replace it
        """Nothing comes in here."""

    @asynccontextmanager
    async def sender(self) -> AsyncIterator[Self]:
        """Itself."""
        yield self

    async def typing(self, address: Address, /) -> None:  # noqa: B027
        """Nobody looks."""

    async def settled(  # noqa: B027
        self, address: Address, platform_message_id: str, outcome: Outcome, /
    ) -> None:
        """Nobody waits."""
