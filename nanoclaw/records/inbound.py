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
    """A file that a user sent. Once it is stored in the inbox, `local_path` replaces `data`.

    `data` is base64 in any form that `nanoclaw.records.files.decoded` reads. If it is invalid, the file is
    lost, and a line of the message says so.
    """

    type: Name
    name: Name
    url: str | None = None
    data: str | None = field(default=None, repr=False)
    local_path: str | None = None


@frozen
class ReplyTo:
    """The message that a user replies to, as the platform shows it."""

    sender: Name
    text: str
    id: Name | None = None


@frozen
class ChatMessage:
    """A user's message (contract 5, kind `chat`). `id` is the platform's own id of the message."""

    id: Name
    text: str
    sender: Name
    sender_id: UserId
    attachments: tuple[Attachment, ...] = ()
    reply_to: ReplyTo | None = None
    is_from_me: bool = False
    is_mention: bool = False


@frozen
class InboundEvent:
    """One message event of a chat network, as its channel offers it.

    `event_id` and the edit's `version` identify it within its chat. An event that is offered twice is stored
    once (contract 4, Identity).
    """

    address: Address
    event_id: Id
    message: ChatMessage
    version: Name = ""
    chat_name: Name | None = None
    is_group: bool = False

    @property
    def message_id(self) -> str:
        """Return the id of its rows in `messages_in`."""
        parts = (self.address.channel_type, self.address.platform_id, self.event_id, self.version)
        key = "".join(f"{len(part)}:{part}" for part in parts)
        return "in-" + blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


@frozen
class Clicked:
    """A user pressed a button of a card: one event of a chat network, as its channel offers it.

    `value` is that of the option (`Option.value`). Only the first answer to a question counts.
    """

    address: Address
    event_id: Id
    question_id: Name
    value: Name
    user_id: UserId


@frozen
class Attended:
    """Somebody is there again to be shown what a chat's channel has held back with `Unattended`."""

    address: Address

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
    """The result of an offered event: the sessions that stored it, or why it was dropped.

    `message_ids` pairs with `session_ids`. `dropped` is a sentence for the log and the channel.
    """

    session_ids: tuple[str, ...] = ()
    message_ids: tuple[str, ...] = ()
    dropped: str | None = None


class NotAccepted(Exception):
    """An event is neither stored nor parked. The text says why. It must not be confirmed upstream."""


class BadEvent(ValueError):
    """A value in an event does not fit its field. The text names both. The event is never accepted."""


def received(event: object) -> Event:
    """Return an event of a channel, once all its values are checked: types, lengths, ids of users.

    Lists in it become tuples, and its texts can be stored (`nanoclaw.records.checking.storable_text`).

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
