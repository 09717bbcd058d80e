"""What a chat network has to offer to be a channel, and the two ways in which it may refuse a message."""

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from typing import Literal, Protocol, runtime_checkable

from actors import Refusal
from nanoclaw.records import Address, Intake, Outgoing, Receipt

Repeat = Literal["idempotent", "look up", "again", "never"]
"""What to do with an attempt whose outcome is unknown: send again, for the network takes an idempotency key;
look whether it has the message (`Finder`), and send it if not; send once more; or leave it."""

Outcome = Literal["completed", "failed"]
"""What became of a user's message."""


class DeliveryRejected(Refusal):
    """The network will never take this message; the text says why. It is not tried again."""


class ChannelUnavailable(Refusal):
    """The network cannot take a message now, and took none. `retry_after` in seconds, where it said."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class Sender(Protocol):
    """The sending half of a channel, while it is connected. Called by one task a chat."""

    async def deliver(self, outgoing: Outgoing, /) -> Receipt:
        """Send one message; return only when the network has it.

        Raises:
            DeliveryRejected: never, this message.
            ChannelUnavailable: not now; nothing was sent.
        Anything else (an error, a time-out) leaves the outcome unknown, and `Channel.repeat` decides.
        """
        ...

    async def typing(self, address: Address, /) -> None:
        """Show that the agent is at work; a hint that may be lost."""
        ...

    async def settled(self, address: Address, platform_message_id: str, outcome: Outcome, /) -> None:
        """The user's message is done with, and of its replies none is on its way; a hint that may be lost."""
        ...


@runtime_checkable
class Finder(Protocol):
    """What the sender of a channel that says `look up` offers besides."""

    async def find(self, outgoing: Outgoing, /) -> Receipt | None:
        """The receipt of a message that may have been sent before; None: the network does not have it.

        Raises:
            ChannelUnavailable: it cannot be said now.
        """
        ...


@runtime_checkable
class WithButtons(Protocol):
    """What a channel has besides that shows cards; one without gets them as text."""

    @property
    def buttons(self) -> bool:
        """Whether it shows `QuestionContent` and `CardContent`, and offers `Clicked`."""
        ...


def has_buttons(channel: "Channel") -> bool:
    """Whether a channel shows cards and their buttons."""
    return isinstance(channel, WithButtons) and channel.buttons


def types_with_buttons(channels: "Iterable[Channel]") -> frozenset[str]:
    """The types of those that do."""
    return frozenset(channel.channel_type for channel in channels if has_buttons(channel))


class Channel(Protocol):
    """A chat network. The host opens its sender first and receives last, and closes them in reverse."""

    @property
    def channel_type(self) -> str:
        """The channel's name in addresses, such as `cli` or `telegram`.

        Two channels of one network have different names; their chats are apart.
        """
        ...

    @property
    def repeat(self) -> Repeat:
        """What happens to an attempt whose outcome is unknown."""
        ...

    def sender(self) -> AbstractAsyncContextManager[Sender]:
        """Connect the sending half; opened again after it failed."""
        ...

    async def receive(self, intake: Intake, /) -> None:
        """Offer what comes in, until cancelled or at the end of input; called again after it failed.

        Confirm an event to the network only after `intake.offer` returned: then it is on disk. Events of one
        chat are routed in the order in which they are offered, those of several chats concurrently.
        """
        ...
