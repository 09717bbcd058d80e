"""Values that go out: contents, files, and the receipts of channels."""

from datetime import datetime
from pathlib import Path
from typing import Literal

from attrs import field, frozen

from nanoclaw.records.address import Address

Answerer = Literal["asker", "member", "admin"]
"""Who may answer a question: one user, everybody whom the agent hears, or its administrators."""
QUESTION_EXPIRES_S = 7 * 86_400
"""Seconds after which a question expires that names no other time."""
DONE = "__done__"
"""`Option.value` of the button that ends a choice of several options."""


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
    markdown: bool = False
    """True if the text is Markdown."""


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
    """The buttons, at most 25 in their order. No two have the same label or value. Only a question that takes
    a text may have none.
    """
    who: Answerer = "member"
    """Who may answer. The host checks it."""
    asker: str | None = None
    """The id of the user who may answer, if `who` is `asker`."""
    multiple: bool = False
    """True if several options may be chosen. Each press changes the choice; the button `DONE` ends it."""
    free_text: bool = False
    """True if a text is an answer, too: a message in the chat, or `Clicked.text`."""
    expires_s: int = QUESTION_EXPIRES_S
    """Seconds until it expires."""
    code: str = ""
    """What an answer in writing must end with, in a chat without buttons; empty for questions of agents."""


@frozen
class CardEditContent:
    """A new state of a card that was sent before, for channels with `Capabilities.card_edits`."""

    message_id: str
    """The platform's id of the card."""
    question: QuestionContent
    """The whole card as it is now."""


@frozen
class CardContent:
    """A card to look at.

    Never offer a `Clicked` for something in it: its agent could imitate the card of an approval.
    """

    card: str
    """The card as its agent described it: a JSON object. It has no id of an approval."""
    fallback_text: str
    """The text to show where cards are not supported."""


OutgoingContent = (
    TextContent | EditContent | ReactionContent | QuestionContent | CardEditContent | CardContent
)


@frozen
class OutgoingFile:
    """A file to send. It is a copy in a private folder of the host; no agent can change it.

    Open `path` and stream it. The host removes the file when `Sender.deliver` has ended.
    """

    name: str
    """The file's name, without a folder."""
    path: Path
    """The file on this machine. Its name is `name`, too."""
    size: int
    """The length of the content in bytes."""

    @property
    def data(self) -> bytes:
        """The whole content. Use it for small files only; it reads from the disk and blocks."""
        return self.path.read_bytes()


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
    """True if the content is a question as text, without buttons: a number or a text answers it."""
    author: str = field(default="", eq=False)
    """The name of the agent that wrote it, if known."""


@frozen
class Receipt:
    """A channel's confirmation that a message is delivered, with the platform's id of it, if it has one."""

    platform_message_id: str | None
    """The platform's id of the message, which later edits and reactions name; None if it has no ids."""
