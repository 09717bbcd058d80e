"""Values that come in: events of channels, their results, and the `Intake` that takes them."""

from hashlib import blake2b
from typing import Literal, Protocol, cast

from attrs import field, frozen

from nanoclaw.records.address import AGENT, Address
from nanoclaw.records.checking import BadValue, Id, Name, checked
from nanoclaw.records.people import UserId

MessageKind = Literal["chat", "chat-sdk", "task", "webhook", "system"]
CatchUp = Literal["skip", "all", "none"]
"""The handling of missed slots: run the latest one, run all, or run none (contract 4, Recurrence)."""


@frozen
class Attachment:
    """A file that a user sent."""

    type: Name
    """The kind of file in the network's words, such as `image`; it is for the agent to read."""
    name: Name
    """The file's name as the user sees it; one that is no safe file name is replaced on disk."""
    url: str | None = None
    """A place to fetch the file, if the channel gives no `data`."""
    data: str | None = field(default=None, repr=False)
    """The content as base64: plain or url-safe, broken into lines or not. It is stored in the inbox.
    If it is invalid, the file is lost, and a line of the message says so.
    """
    local_path: str | None = None
    """The path of the stored file. The host sets it; channels leave it out."""


@frozen
class ReplyTo:
    """The message that a user replies to, as the platform shows it."""

    sender: Name
    """The name of its author."""
    text: str
    """Its text, or the beginning of it."""
    id: Name | None = None
    """The platform's own id of it, if known."""


@frozen
class ChatMessage:
    """A user's message (contract 5, kind `chat`)."""

    id: Name
    """The platform's own id of the message, which replies, edits and reactions name."""
    text: str
    """The user's text. It may be empty if there are attachments."""
    sender: Name
    """The user's name, for the agent to read."""
    sender_id: UserId | None
    """The user's id with the network's prefix, such as `tg:123`. Rights belong to it.
    None: the network does not say who wrote. Only a chat with the policy `public` lets such a message in.
    """
    attachments: tuple[Attachment, ...] = ()
    """The files of the message."""
    reply_to: ReplyTo | None = None
    """The message that this one replies to."""
    is_from_me: bool = False
    """True if the assistant's own account wrote it. The host drops it."""
    is_mention: bool = False
    """True if it mentions the assistant by name."""
    person: Name | None = None
    """The name of the person, if the sender is one of several linked identities. The host sets it."""


@frozen
class InboundEvent:
    """One message event of a chat network, as its channel offers it.

    `event_id` and `version` identify it within its chat. An event that is offered twice is stored once
    (contract 4, Identity).
    """

    address: Address
    """The chat, and its thread, in which it happened."""
    event_id: Id
    """The platform's own id of the event, the same whenever the event is offered again."""
    message: ChatMessage
    """The message."""
    version: Name = ""
    """Empty for a new message. Each edit of it has a version of its own, such as the time of the edit."""
    chat_name: Name | None = None
    """The name of the chat, for people."""
    is_group: bool = False
    """True if the chat has several users."""

    @property
    def message_id(self) -> str:
        """Return the id of its rows in `messages_in`."""
        parts = (self.address.channel_type, self.address.platform_id, self.event_id, self.version)
        key = "".join(f"{len(part)}:{part}" for part in parts)
        return "in-" + blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


@frozen
class Clicked:
    """A user pressed a button of a card: one event of a chat network, as its channel offers it.

    Only the first answer to a question counts.
    """

    address: Address
    """The chat of the card."""
    event_id: Id
    """The platform's own id of the press."""
    question_id: Name
    """`QuestionContent.question_id` of the card."""
    value: Name
    """`Option.value` of the button."""
    user_id: UserId
    """The id, with its prefix, of the user who pressed it."""


@frozen
class Attended:
    """Somebody is there again to be shown what a chat's channel has held back with `Unattended`."""

    address: Address
    """The chat."""

    @property
    def event_id(self) -> str:
        """A word for logs. Such events are not stored, so they need no id."""
        return "attended"


Event = InboundEvent | Clicked | Attended
"""The events that a channel offers."""


@frozen
class Answer:
    """A user's choice, for the session that asked. `message_out_id` is the question's row."""

    message_out_id: str
    question_id: str
    value: str
    user_id: str
    address: Address
    said: InboundEvent | None = None
    """The message that made the choice, if the channel has no buttons."""
    withdrawn: bool = False
    """An administrator deleted the question, so nobody chooses."""

    @property
    def message_id(self) -> str:
        """Return the id of its row in `messages_in`. A question has only one."""
        return answer_id(self.message_out_id)


@frozen
class AgentMessage:
    """A message from one agent to another. The receiving session answers to `source_session_id`."""

    message_out_id: str
    """The id of the sender's delivery. A message that is offered twice is stored once."""
    source_session_id: str
    sender_group_id: str
    sender_name: str
    text: str
    causation_id: str
    """The id of the first message of the chain that it belongs to."""
    hops: int
    """Number of times that the chain has gone from one agent to another."""
    exchanged: int = 0
    """Number of messages that the sender has received from this session in the last minute."""
    attachments: tuple[Attachment, ...] = ()

    @property
    def message_id(self) -> str:
        """The id of its row in `messages_in`."""
        key = f"{self.source_session_id}:{self.message_out_id}"
        return "agent-" + blake2b(key.encode(), digest_size=16).hexdigest()

    @property
    def address(self) -> Address:
        """The address of the sender's agent."""
        return Address(AGENT, self.sender_group_id)


def answer_id(message_out_id: str) -> str:
    """Return the id, in `messages_in`, of the answer to a question in this outbound row."""
    return f"answer-{message_out_id}"


@frozen
class Routed:
    """The result of an offered event: the sessions that stored it, or why it was dropped."""

    session_ids: tuple[str, ...] = ()
    """The sessions that have the event."""
    message_ids: tuple[str, ...] = ()
    """The ids of its rows in these sessions, in the same order."""
    dropped: str | None = None
    """The reason why no session has it, a sentence for the log and the channel."""
    held: str | None = None
    """A sentence for the log if the event is on disk, and waits until its sender or its chat is let in.
    A network's channel does not show it to the sender.
    """


class NotAccepted(Exception):
    """An event is neither stored nor parked. The text says why. It must not be confirmed upstream."""


class BadEvent(ValueError):
    """A value in an event does not fit its field. The text names both. The event is never accepted."""


def received(event: object) -> Event:
    """Check all values of an event: types, lengths, ids of users. Return it with storable values.

    Lists in it become tuples, and texts those of `nanoclaw.records.checking.storable_text`.

    Raises:
        BadEvent: a value does not fit.
    """
    kind = type(event) if isinstance(event, Clicked | Attended) else InboundEvent
    try:
        return cast("Event", checked(event, kind))
    except BadValue as error:
        raise BadEvent(f"an event cannot be taken: {error.within(kind.__name__)}") from None


class Intake(Protocol):
    """The only view of the host that a channel gets."""

    async def offer(self, event: Event) -> Routed:
        """Route one event. When this returns, an accepted event is on disk and may be confirmed upstream.

        Raises:
            NotAccepted: the event is not stored. Offer it again later.
            BadEvent: a value in it has the wrong type or shape. Mend the channel; do not offer it again.
        """
        ...
