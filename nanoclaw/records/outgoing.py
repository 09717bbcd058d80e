"""Values that go out: contents, files, and the receipts of channels."""

from datetime import datetime

from attrs import field, frozen

from nanoclaw.records.address import Address


@frozen
class TextContent:
    """A text message."""

    text: str
    """The agent's text. It may be empty if there are files."""
    markdown: bool = False
    """True if the text is Markdown."""
    files: tuple[str, ...] = ()
    """The names of `Outgoing.files`."""


@frozen
class EditContent:
    """A new text for a message that was sent before."""

    message_id: str
    """The platform's id of that message."""
    text: str
    """The whole new text."""


@frozen
class ReactionContent:
    """An emoji for a message of the chat."""

    message_id: str
    """The platform's id of that message."""
    emoji: str
    """The emoji itself, such as `👍`."""


@frozen
class Option:
    """A button of a card."""

    label: str
    """The text on the button; at most 100 characters."""
    selected_label: str
    """The text that replaces the buttons once this one is chosen."""
    value: str
    """The text that the channel offers as `Clicked.value`; at most 128 characters."""


@frozen
class QuestionContent:
    """A card with buttons. The channel that shows it offers `Clicked` with its `question_id`."""

    question_id: str
    """The id that `Clicked` repeats."""
    title: str
    """The heading; at most 200 characters."""
    text: str
    """The question."""
    options: tuple[Option, ...]
    """The buttons, 1 to 25 in their order. No two have the same label or value."""


@frozen
class CardContent:
    """A card to look at."""

    card: str
    """The card as its agent described it: a JSON object."""
    fallback_text: str
    """The text to show where cards are not supported."""


OutgoingContent = TextContent | EditContent | ReactionContent | QuestionContent | CardContent


@frozen
class OutgoingFile:
    """A file to send. It was opened below the session's outbox without following a link."""

    name: str
    """The file's name, without a folder."""
    data: bytes = field(repr=False)
    """The whole content."""


@frozen
class Outgoing:
    """One message for one chat."""

    message_out_id: str
    """The idempotency key of its delivery: a message that is sent again has the same."""
    address: Address
    """The chat, and its thread, to send it to."""
    content: OutgoingContent
    """The content to send."""
    in_reply_to: str | None = None
    """The platform's id of the message that this one replies to, if any."""
    files: tuple[OutgoingFile, ...] = ()
    """The files to send with the text."""
    written_at: datetime | None = field(default=None, eq=False)
    """The date at which the agent wrote it, if known."""
    scheduled_at: datetime | None = field(default=None, eq=False)
    """The time for which it was scheduled: that of its task, or of a message to be sent later. Else None."""
    asks: bool = field(default=False, eq=False)
    """True if the content is a question as text, for a channel without buttons: a number answers it."""
    author: str = field(default="", eq=False)
    """The name of the agent that wrote it, if known."""


@frozen
class Receipt:
    """A channel's confirmation that a message is delivered, with the platform's id of it, if it has one."""

    platform_message_id: str | None
    """The platform's id of the message, which later edits and reactions name; None if it has no ids."""
