"""The protocol of a channel: what a chat network's adapter offers, and how it may refuse a message."""

from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, Protocol

from attrs import evolve, frozen

from actors import Refusal
from nanoclaw.records import Address, Intake, Outgoing, Receipt

Repeat = Literal["idempotent", "look up", "again", "never"]
"""The host's reaction to an attempt whose outcome is unknown.

`idempotent`: it sends again, because the network takes an idempotency key. `look up`: it asks `Sender.find`
first. `again`: it sends once more. `never`: it leaves the message.
"""

Outcome = Literal["completed", "failed"]
"""The outcome of a user's message."""


@frozen
class Capabilities:
    """The optional abilities of a channel. The host asks a channel for nothing that it cannot do."""

    repeat: Repeat = "again"
    """What the host does after an attempt whose outcome is unknown."""
    buttons: bool = False
    """Shows `QuestionContent` and `CardContent` and offers `Clicked`. Without, cards arrive as text."""
    edits: bool = True
    """Delivers `EditContent`. Without, the host rejects edits, and the agent reads why."""
    reactions: bool = True
    """Delivers `ReactionContent`. Without, the host rejects reactions, and the agent reads why."""
    files: bool = True
    """Delivers files. Without, the host rejects messages that have some, and the agent reads why."""
    typing: bool = True
    """Wants `Sender.typing`."""
    settled: bool = True
    """Wants `Sender.settled`."""
    drafts: bool = False
    """Wants `DraftingSender.draft`: it shows an answer while the agent writes it."""
    card_edits: bool = False
    """Delivers `CardEditContent`. Without, a question with several choices arrives as text."""
    direct_chats: bool = False
    """Has `DirectSender.open_dm`: it can find or open the direct chat of a user."""
    threads: bool = True
    """Delivers to the thread of an address. Without, the host sends to the chat."""
    longest_text: int | None = None
    """Limit of one message in characters of the network, if it has one. The channel splits longer texts."""
    user_prefix: str | None = None
    """The prefix of the ids of its users, such as `tg`. None: the `channel_type`."""


class DeliveryRejected(Refusal):
    """The network will never take this message; the text says why. The host does not try it again."""


Condition = Literal["down", "unauthorized", "conflict", "rate limited"]
"""The reason in a word why a channel is unavailable: its network or connection is down; its secret is missing
or refused; another program uses its account; the network limits the rate. `status` shows it.
"""


class ChannelUnavailable(Refusal):
    """The network cannot take a message now, and took none. `retry_after` is in seconds, if it said."""

    def __init__(
        self, reason: str, retry_after: float | None = None, *, condition: Condition = "down"
    ) -> None:
        super().__init__(reason)
        self.retry_after = retry_after
        self.condition: Condition = condition


class Unattended(ChannelUnavailable):
    """Nobody is there to be shown this message, and nobody was. It is held until `Attended` is offered.

    Waiting for a person is no failed attempt: it counts as none, has no limit of time, and costs no polling.
    """


class Sender(Protocol):
    """The sending half of a channel, while it is connected. One task for each chat calls it."""

    async def deliver(self, outgoing: Outgoing, /) -> Receipt:
        """Send one message; return only when the network has it. A delivery that returns is never repeated.

        Raises:
            DeliveryRejected: the network will never take this message.
            ChannelUnavailable: the network took nothing; the host tries again.
            Unattended: nobody is there to be shown it; the host waits for `Attended`.
        After any other error, or a time-out, the outcome is unknown, and `Capabilities.repeat` decides. An
        exception group with one kind of error counts as that error.
        """
        ...

    async def find(self, outgoing: Outgoing, /) -> Receipt | None:
        """Return the receipt of a message that may have been sent before, or None if it was not.

        The host calls it only if `Capabilities.repeat` is `look up`.

        Raises:
            ChannelUnavailable: the network cannot say now.
        """
        ...

    async def typing(self, address: Address, /) -> None:
        """Show that the agent is at work. This hint may be lost."""
        ...

    async def settled(self, address: Address, platform_message_id: str, outcome: Outcome, /) -> None:
        """Note that a user's message is done and no reply to it is on its way. This hint may be lost."""
        ...


class DraftingSender(Sender, Protocol):
    """The sending half of a channel with `Capabilities.drafts`."""

    async def draft(self, address: Address, text: str, /) -> None:
        """Show the text so far of an answer, in place of the last draft at this address. It may be lost.

        An empty text removes the draft. So does the next delivery to this address: it takes the draft's
        place. The host calls it at most 20 times a second for each session, and never while it delivers to
        the same chat.
        """
        ...


class DirectSender(Sender, Protocol):
    """The sending half of a channel with `Capabilities.direct_chats`."""

    async def open_dm(self, user_id: str, /) -> Address:
        """Return the direct chat with a user; open it if the network needs that.

        `user_id` has the network's prefix. The host asks once for each user, and keeps the answer.

        Raises:
            DeliveryRejected: the network lets nobody write to this user. The host does not ask again today.
            ChannelUnavailable: the network cannot say now.
        """
        ...


class Channel(Protocol):
    """A chat network. The host opens its sender first and receives last, and closes them in reverse."""

    @property
    def channel_type(self) -> str:
        """The channel's name in addresses, such as `cli` or `telegram`.

        Two channels of one network have different names; their chats are apart.
        """
        ...

    @property
    def capabilities(self) -> Capabilities:
        """The channel's optional abilities. They do not change."""
        ...

    def sender(self) -> AbstractAsyncContextManager[Sender]:
        """Connect the sending half. It fails when the connection is lost; the host then opens it again."""
        ...

    async def receive(self, intake: Intake, /) -> None:
        """Offer incoming events until cancelled or at the end of input.

        The host calls it again after an error, which stops all events until then. So a channel should log the
        error of one event and go on.

        Confirm an event to the network only after `intake.offer` returned: then it is on disk. Events of one
        chat are routed in the order in which they are offered, those of several chats concurrently.
        """
        ...


def capabilities_of(channel: Channel) -> Capabilities:
    """Return a channel's capabilities. A channel may have `repeat` and `buttons` as attributes instead."""
    found = getattr(channel, "capabilities", Capabilities())
    own: dict[str, Any] = {key: getattr(channel, key, getattr(found, key)) for key in ("repeat", "buttons")}
    return evolve(found, **own)
