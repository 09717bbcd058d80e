"""Values that go out: contents, files, and the receipts of channels."""

from datetime import datetime

from attrs import field, frozen

from nanoclaw.records.address import Address


@frozen
class TextContent:
    """A text message, with files from the session's outbox."""

    text: str
    markdown: bool = False
    files: tuple[str, ...] = ()


@frozen
class EditContent:
    """A new text for the message with the platform's id `message_id`."""

    message_id: str
    text: str


@frozen
class ReactionContent:
    """An emoji for the message with the platform's id `message_id`."""

    message_id: str
    emoji: str


@frozen
class Option:
    """A button: its label, the label that replaces it once chosen, and the value that the channel offers."""

    label: str
    selected_label: str
    value: str


@frozen
class QuestionContent:
    """A card with buttons. The channel that shows it offers `Clicked` with its `question_id`."""

    question_id: str
    title: str
    text: str
    options: tuple[Option, ...]


@frozen
class CardContent:
    """A card to look at, as its agent described it (a JSON object). `fallback_text` is its text form."""

    card: str
    fallback_text: str


OutgoingContent = TextContent | EditContent | ReactionContent | QuestionContent | CardContent


@frozen
class OutgoingFile:
    """A file to send. It was opened below the session's outbox without following a link."""

    name: str
    data: bytes = field(repr=False)


@frozen
class Outgoing:
    """One message for one chat. `message_out_id` is the idempotency key of its delivery."""

    message_out_id: str
    address: Address
    content: OutgoingContent
    in_reply_to: str | None = None
    """The platform's id of the message that this one replies to, if any."""
    files: tuple[OutgoingFile, ...] = ()
    written_at: datetime | None = field(default=None, eq=False)
    """When the agent wrote it, if known."""
    scheduled_at: datetime | None = field(default=None, eq=False)
    """The time for which it was scheduled: that of its task, or of a message to be sent later. Else None."""
    asks: bool = field(default=False, eq=False)
    """True if the content is a question as text, for a channel without buttons: a number answers it."""


@frozen
class Receipt:
    """A channel's confirmation that a message is delivered, with the platform's id of it, if it has one."""

    platform_message_id: str | None
