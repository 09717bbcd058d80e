"""A base class for channels that need no connection, such as networks inside your program."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from nanoclaw.channels.protocol import Capabilities, Outcome
from nanoclaw.records import Address, Intake, Outgoing, Receipt


class SimpleChannel(ABC):
    """A base class: a channel that is its own sender. A subclass defines `channel_type` and `deliver`.

    The program offers incoming events with `host.intake.offer`, or the subclass defines `receive`.
    """

    channel_type: str
    capabilities: Capabilities = Capabilities()

    @abstractmethod
    async def deliver(self, outgoing: Outgoing, /) -> Receipt:
        """Send one message, as `Sender.deliver` says."""

    async def find(self, outgoing: Outgoing, /) -> Receipt | None:
        """Look up a message. A channel with `repeat="look up"` must define this."""
        raise NotImplementedError(
            f"{type(self).__name__}.find must be defined, because capabilities.repeat is 'look up'"
        )

    async def receive(self, intake: Intake, /) -> None:  # noqa: B027 -- optional, like the next three
        """Receive nothing."""

    @asynccontextmanager
    async def sender(self) -> AsyncIterator[Self]:
        """Yield the channel itself."""
        yield self

    async def typing(self, address: Address, /) -> None:  # noqa: B027
        """Ignore the hint."""

    async def settled(  # noqa: B027
        self, address: Address, platform_message_id: str, outcome: Outcome, /
    ) -> None:
        """Ignore the hint."""

    async def draft(self, address: Address, text: str, /) -> None:  # noqa: B027
        """Ignore the hint."""
