"""Values that come in: events of channels, their results, and the `Intake` that takes them."""

from collections.abc import Mapping
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, cast

from attrs import field, frozen

from nanoclaw.records.address import AGENT, Address
from nanoclaw.records.checking import AbsolutePath, BadValue, Id, Json, Length, Name, checked
from nanoclaw.records.people import UserId, user_kind

MessageKind = Literal["chat", "chat-sdk", "task", "webhook", "system"]
CatchUp = Literal["skip", "all", "none"]
"""The handling of missed slots: run the latest one, run all, or run none (contract 4, Recurrence)."""
TERMINAL = "cli"
"""The type of the terminal's channel. Its user, `cli:local`, administers the host."""
MAX_PAYLOAD = 256 << 10
"""Limit, in characters of JSON, of the payload of a webhook."""
MAX_SDK = 64 << 20
"""Limit, in characters of JSON, of a message in the form of the chat library, with the data of its files."""


@frozen
class Attachment:
    """A file that a user sent.

    The files of one message have at most `MAX_BYTES` together. One that is larger, missing or damaged is
    lost, and a line of the message says so.
    """

    type: Name
    """The kind of file in the network's words, such as `image`; it is for the agent to read."""
    name: Name
    """The file's name as the user sees it; one that is no safe file name is replaced on disk."""
    url: str | None = None
    """A place to fetch the file, if the channel gives no `data`."""
    path: Annotated[Path, AbsolutePath()] | None = None
    """A regular file on this machine with the content; no link. The host has copied it when `offer` returns,
    and the channel removes it then. Channels of networks use this, so that no file is ever in memory.
    """
    data: str | None = field(default=None, repr=False)
    """The content as base64, if there is no `path`: plain or url-safe, broken into lines or not."""
    local_path: str | None = None
    """The path of the stored file. The host sets it; channels leave it out."""

    @property
    def has_content(self) -> bool:
        """True if it comes with its content, so that the host stores it."""
        return self.path is not None or self.data is not None


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


def row_id(address: Address, event_id: str, *more: str) -> str:
    """Return the id, in `messages_in`, of an event of a chat. `more` begins with the version of an edit."""
    parts = (address.channel_type, address.platform_id, event_id, *more)
    key = "".join(f"{len(part)}:{part}" for part in parts)
    return "in-" + blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


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
        return row_id(self.address, self.event_id, self.version)


@frozen(slots=False)
class SdkMessage:
    """A message in the form of the chat library (contract 5, kind `chat-sdk`), as a channel offers it.

    It is routed as an `InboundEvent` is. Its sender is `<channel_type>:<author.userId>`.
    """

    address: Address
    """The chat, and its thread, in which it happened."""
    event_id: Id
    """The platform's own id of the event, the same whenever the event is offered again."""
    content: Annotated[Mapping[str, Any], Json(MAX_SDK, only_objects=True)]
    """The library's message as JSON. It has `id`, `text` and `author` with `userId`. Files with base64 `data`
    are stored in the inbox.
    """
    version: Name = ""
    """Empty for a new message. Each edit of it has a version of its own."""
    chat_name: Name | None = None
    """The name of the chat, for people."""
    is_group: bool = False
    """True if the chat has several users."""

    @property
    def message_id(self) -> str:
        """Return the id of its rows in `messages_in`."""
        return row_id(self.address, self.event_id, self.version)

    @cached_property
    def message(self) -> ChatMessage:
        """Return what the host reads in it.

        Raises:
            BadValue: the content is no message of the library.
        """
        return said_in(self.content, self.address.channel_type)


@frozen
class Webhook:
    """An event of a program, for the agents of a chat (contract 5, kind `webhook`).

    It has no sender: that the address is wired is the permission. So a channel must know where it comes from.
    """

    address: Address
    """The chat whose agents get it, and where they answer."""
    event_id: Id
    """The id of the event at its source, the same whenever it is offered again."""
    source: Annotated[str, Length(1, 200)]
    """The program that it comes from, such as `github`."""
    event: Annotated[str, Length(1, 200)]
    """The kind of event, in words of the source, such as `push`."""
    payload: Annotated[object, Json(MAX_PAYLOAD)] = None
    """Any JSON value."""
    chat_name: Name | None = None
    """The name of the chat, for people."""
    is_group: bool = False
    """True if the chat has several users."""

    @property
    def message_id(self) -> str:
        """Return the id of its rows in `messages_in`."""
        return row_id(self.address, self.event_id, self.source, "webhook")


@frozen
class Deleted:
    """A message was deleted on its network. The sessions that have it get this as context."""

    address: Address
    """The chat, and its thread, of the message."""
    target: Id
    """The platform's own id of the message, `ChatMessage.id`."""
    sender_id: UserId | None = None
    """The id, with its prefix, of the user who deleted it. None if the network does not say."""

    @property
    def event_id(self) -> str:
        """Return the id of the message. A message is deleted once."""
        return self.target

    @property
    def message_id(self) -> str:
        """Return the id of its rows in `messages_in`."""
        return row_id(self.address, self.target, "", "deleted")


@frozen
class Reacted:
    """A user reacted to a message. The session that sent the message gets this as context.

    Reactions to messages of others are dropped, and so are reactions that were taken back.
    """

    address: Address
    """The chat, and its thread, of the message."""
    event_id: Id
    """The platform's own id of the event, the same whenever the event is offered again."""
    target: Id
    """The platform's own id of the message, as the channel returned it in its `Receipt`."""
    emoji: Annotated[str, Length(1, 100)]
    """The reaction: an emoji, or its name on the network."""
    sender: Name
    """The user's name, for the agent to read."""
    sender_id: UserId
    """The user's id with the network's prefix."""
    removed: bool = False
    """True if the user took the reaction back."""

    @property
    def message_id(self) -> str:
        """Return the id of its rows in `messages_in`."""
        return row_id(self.address, self.event_id, "", "reacted")


@frozen
class Clicked:
    """A user pressed a button of a card: one event of a chat network, as its channel offers it.

    Only the first answer to a question counts. Show the user `Routed.dropped`: why the press changed nothing.
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
    text: str | None = None
    """The text that the user entered in an input of the card. Then `value` is empty."""


@frozen
class Attended:
    """Somebody is there again to be shown what a chat's channel has held back with `Unattended`."""

    address: Address
    """The chat."""

    @property
    def event_id(self) -> str:
        """A word for logs. Such events are not stored, so they need no id."""
        return "attended"


@frozen
class ChatRenamed:
    """A chat has a new name. The host's name of it follows, if the host knows the chat."""

    address: Address
    """The chat."""
    event_id: Id
    """The platform's own id of the event. It is for logs: such events are not stored."""
    name: Annotated[str, Length(1, 1000)]
    """The new name, for people."""


@frozen
class Joined:
    """A user has joined a chat. That gives no rights. The name of a user that the host knows follows."""

    address: Address
    """The chat."""
    event_id: Id
    """The platform's own id of the event, for logs."""
    user_id: UserId
    """The user's id with the network's prefix."""
    user: Name = ""
    """The user's name, for people."""
    is_me: bool = False
    """True if it is the assistant's own account."""


@frozen
class Left:
    """A user has left a chat, or was removed from it. That takes no rights: an administrator does."""

    address: Address
    """The chat."""
    event_id: Id
    """The platform's own id of the event, for logs."""
    user_id: UserId
    """The user's id with the network's prefix."""
    user: Name = ""
    """The user's name, for people."""
    is_me: bool = False
    """True if it is the assistant's own account. The network then rejects what is sent there."""


Said = InboundEvent | SdkMessage
"""The messages of users, in both of their forms."""
Remark = Deleted | Reacted
"""The events about a message that a session has. They never wake an agent."""
ChatChange = ChatRenamed | Joined | Left
"""The events about a chat itself. They are for nobody to read: names follow them."""
Event = InboundEvent | SdkMessage | Webhook | Deleted | Reacted | Clicked | Attended | ChatChange
"""The events that a channel offers."""


@frozen
class Answer:
    """A user's choice, for the session that asked. `message_out_id` is the question's row."""

    message_out_id: str
    question_id: str
    value: str
    user_id: str
    address: Address
    said: Said | None = None
    """The message that made the choice, if the channel has no buttons."""
    withdrawn: bool = False
    """An administrator deleted the question, so nobody chooses."""
    values: tuple[str, ...] = ()
    """The options that were chosen, if the question allows several. `value` has all of them as a text."""
    free_text: bool = False
    """True if `value` is a text that the user wrote."""
    expired: bool = False
    """Nobody answered in time."""

    @property
    def message_id(self) -> str:
        """Return the id of its row in `messages_in`. A question has only one."""
        return answer_id(self.message_out_id)


def said_in(content: Mapping[str, Any], channel_type: str) -> ChatMessage:
    """Return what the host reads in a message of the chat library.

    Raises:
        BadValue: a part that the host needs is missing or of the wrong type.
    """
    author, files = content.get("author"), content.get("attachments") or []
    if not isinstance(author, Mapping):
        raise BadValue("an object with userId", author, "content.author")
    if not isinstance(files, list | tuple) or not all(isinstance(each, Mapping) for each in files):
        raise BadValue("a list of objects", files, "content.attachments")
    user_id = author.get("userId")
    if not isinstance(user_id, str) or not user_id.strip():
        raise BadValue("text that is not empty", user_id, "content.author.userId")
    return ChatMessage(
        _text(content, "id"),
        _text(content, "text"),
        str(author.get("fullName") or author.get("userName") or user_id)[:1000],
        f"{channel_type}:{user_id}",
        tuple(_sdk_file(each, f"content.attachments[{n}]") for n, each in enumerate(files)),
        is_from_me=author.get("isMe") is True,
        is_mention=content.get("isMention") is True,
    )


def _text(content: Mapping[str, Any], key: str) -> str:
    value = content.get(key)
    if not isinstance(value, str):
        raise BadValue("text", value, f"content.{key}")
    return value


def _sdk_file(found: Mapping[str, Any], place: str) -> Attachment:
    type_, name, data = found.get("type") or "file", found.get("name"), found.get("data")
    if not isinstance(data, str | None):
        raise BadValue("text, the base64 of the file", data, f"{place}.data")
    return Attachment(str(type_)[:1000], str(name or type_)[:1000], data=data)


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


def outcome_id(approval_id: str) -> str:
    """Return the id, in `messages_in`, of the row that tells the outcome of an approval."""
    return f"outcome-{approval_id}"


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
    kind: type[Any] = type(event) if isinstance(event, Event) else InboundEvent
    try:
        return _of_its_network(_with_content_checked(cast("Event", checked(event, kind))))
    except BadValue as error:
        raise BadEvent(f"an event cannot be taken: {error.within(kind.__name__)}") from None


def _with_content_checked(event: Event) -> Event:
    """Return the event. Raises BadValue if it is no message of the chat library, and should be."""
    if isinstance(event, SdkMessage):
        checked(event.message, ChatMessage)
    return event


def _of_its_network(event: Event) -> Event:
    """Return the event. Raises BadValue if it names the user at the terminal, and comes from elsewhere."""
    user = _user_of(event)
    if user is not None and user_kind(user) == TERMINAL and event.address.channel_type != TERMINAL:
        raise BadValue(f"a user of the network; {TERMINAL}: is for the terminal alone", user, "the user")
    return event


def _user_of(event: Event) -> str | None:
    match event:
        case InboundEvent() | SdkMessage():
            return event.message.sender_id
        case Deleted() | Reacted():
            return event.sender_id
        case Clicked() | Joined() | Left():
            return event.user_id
        case _:
            return None


class Intake(Protocol):
    """The only view of the host that a channel gets."""

    async def offer(self, event: Event) -> Routed:
        """Route one event. When this returns, an accepted event is on disk and may be confirmed upstream.

        Raises:
            NotAccepted: the event is not stored. Offer it again later.
            BadEvent: a value in it has the wrong type or shape. Mend the channel; do not offer it again.
        """
        ...
