"""The values that flow through the host, and the two protocols by which its edges see it.

All are frozen. JSON enters and leaves through `nanoclaw.content`; times are aware UTC datetimes here and
contract text (ISO 8601, milliseconds, `Z`) in the files.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Literal, Protocol

from attrs import field, frozen

MessageKind = Literal["chat", "chat-sdk", "task", "webhook", "system"]
UnknownSenderPolicy = Literal["strict", "request_approval", "public"]
SessionMode = Literal["shared", "per-thread", "agent-shared"]
ResponseScope = Literal["all", "triggered", "allowlisted"]
SessionStatus = Literal["active", "paused", "archived"]
ContainerStatus = Literal["stopped", "starting", "running"]
DestinationType = Literal["channel", "agent"]
Role = Literal["owner", "admin"]
CatchUp = Literal["skip", "all", "none"]
"""What becomes of missed slots: of all of them one run at most; each; not one (contract 4, Recurrence)."""
ApprovalStatus = Literal["pending", "approved", "rejected", "expired"]


AGENT = "agent"
"""The channel type of messages from agent to agent; the platform id is an agent group's id."""


@frozen
class Address:
    """Where a message comes from or goes to: a chat of a channel, and a thread of it where it has threads."""

    channel_type: str
    platform_id: str
    thread_id: str | None = None


# -- what comes in -------------------------------------------------------------


@frozen
class Attachment:
    """A file a user sent. `data` is base64; once it is stored in the inbox `local_path` replaces it."""

    type: str
    name: str
    url: str | None = None
    data: str | None = field(default=None, repr=False)
    local_path: str | None = None


@frozen
class ReplyTo:
    """The message that a user's message answers, as its platform shows it."""

    sender: str
    text: str
    id: str | None = None


@frozen
class ChatMessage:
    """What a user wrote (contract 5, kind `chat`); `id` is the platform's own id of the message."""

    id: str
    text: str
    sender: str
    sender_id: str
    attachments: tuple[Attachment, ...] = ()
    reply_to: ReplyTo | None = None
    is_from_me: bool = False
    is_mention: bool = False


@frozen
class InboundEvent:
    """One event of a chat network, as its channel offers it.

    `event_id` and `version` (of an edit) identify it within its chat: an event that is offered twice is
    stored once (contract 4, Identity).
    """

    address: Address
    event_id: str
    message: ChatMessage
    version: str = ""
    chat_name: str | None = None
    is_group: bool = False

    @property
    def message_id(self) -> str:
        """The id of its rows in `messages_in`."""
        parts = (self.address.channel_type, self.address.platform_id, self.event_id, self.version)
        key = "".join(f"{len(part)}:{part}" for part in parts)
        return "in-" + blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


@frozen
class Clicked:
    """A button of a card, pressed by a user: one event of a chat network, as its channel offers it.

    `value` is that of the option (`Option.value`). However often a question is answered, the first counts.
    """

    address: Address
    event_id: str
    question_id: str
    value: str
    user_id: str


Event = InboundEvent | Clicked
"""What a channel offers."""


@frozen
class Answer:
    """What somebody has chosen, for the session that asked; `message_out_id` is the question's row."""

    message_out_id: str
    question_id: str
    value: str
    user_id: str
    address: Address
    said: InboundEvent | None = None
    """The message by which it was chosen, where there are no buttons."""

    @property
    def message_id(self) -> str:
        """The id of its row in `messages_in`: a question has one answer."""
        return answer_id(self.message_out_id)


@frozen
class AgentMessage:
    """What an agent says to another one; its receiving session answers to `source_session_id`."""

    message_out_id: str
    """The sender's delivery: offered twice, it is stored once."""
    source_session_id: str
    sender_group_id: str
    sender_name: str
    text: str
    causation_id: str
    """The id of the first message of the chain that it belongs to."""
    hops: int
    """How often that chain has gone from one agent to another."""
    exchanged: int = 0
    """How many messages the sender has received from this session in the last minute."""
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
    """The id, in `messages_in`, of the answer to what an agent asked."""
    return f"answer-{message_out_id}"


@frozen
class Routed:
    """What became of an offered event: the sessions that stored it, or why nobody did.

    `message_ids` pairs with `session_ids`. `dropped` is a sentence for the log and for the channel.
    """

    session_ids: tuple[str, ...] = ()
    message_ids: tuple[str, ...] = ()
    dropped: str | None = None


class NotAccepted(Exception):
    """An event could not be stored, nor parked; the text says why. It must not be confirmed upstream."""


class Intake(Protocol):
    """All that a channel sees of the host."""

    async def offer(self, event: Event) -> Routed:
        """Route one event; when this returns, what was accepted is on disk and may be confirmed upstream.

        Raises:
            NotAccepted: it is stored nowhere; offer it again later.
        """
        ...


# -- what goes out -------------------------------------------------------------


@frozen
class TextContent:
    """A message, with files of the session's outbox."""

    text: str
    markdown: bool = False
    files: tuple[str, ...] = ()


@frozen
class EditContent:
    """New text for the message with the platform's id `message_id`."""

    message_id: str
    text: str


@frozen
class ReactionContent:
    """An emoji on the message with the platform's id `message_id`."""

    message_id: str
    emoji: str


@frozen
class Option:
    """A button: what stands on it, what replaces it once it is chosen, and what its channel offers then."""

    label: str
    selected_label: str
    value: str


@frozen
class QuestionContent:
    """A card with buttons; a channel that shows it offers `Clicked` with `question_id`."""

    question_id: str
    title: str
    text: str
    options: tuple[Option, ...]


@frozen
class CardContent:
    """A card to look at, as its agent described it: a JSON object. `fallback_text` says the same in words."""

    card: str
    fallback_text: str


OutgoingContent = TextContent | EditContent | ReactionContent | QuestionContent | CardContent


@frozen
class OutgoingFile:
    """A file to send, opened below the session's outbox without following a link."""

    name: str
    data: bytes = field(repr=False)


@frozen
class Outgoing:
    """One message for one chat. `message_out_id` is the idempotency key of its delivery."""

    message_out_id: str
    address: Address
    content: OutgoingContent
    in_reply_to: str | None = None
    """The platform's id of the message this answers, where there is one."""
    files: tuple[OutgoingFile, ...] = ()


@frozen
class Receipt:
    """A channel's word that a message is delivered; the only way to `delivered`."""

    platform_message_id: str | None


# -- the central database ------------------------------------------------------


@frozen
class AgentGroup:
    """An agent: its folder holds its workspace and memory."""

    id: str
    name: str
    folder: str
    agent_provider: str | None
    created_at: datetime


@frozen
class MessagingGroup:
    """A chat on a channel."""

    id: str
    channel_type: str
    platform_id: str
    name: str | None
    is_group: bool
    unknown_sender_policy: UnknownSenderPolicy
    created_at: datetime


@frozen
class Wiring:
    """An agent group listening to a chat, and how (contract 3)."""

    id: str
    messaging_group_id: str
    agent_group_id: str
    trigger_rules: Mapping[str, object]
    response_scope: ResponseScope
    session_mode: SessionMode
    priority: int
    created_at: datetime


@frozen
class User:
    """An identity on a platform, such as `tg:123` or `cli:local`."""

    id: str
    kind: str
    display_name: str | None
    created_at: datetime


@frozen
class UserRole:
    """A right: owner (always global) or admin (global when `agent_group_id` is None)."""

    user_id: str
    role: Role
    agent_group_id: str | None
    granted_by: str | None
    granted_at: datetime


@frozen
class Member:
    """A user who may talk to an agent without being its admin."""

    user_id: str
    agent_group_id: str
    added_by: str | None
    added_at: datetime


@frozen
class UserDm:
    """The chat in which a channel reaches a user alone; found once, kept."""

    user_id: str
    channel_type: str
    messaging_group_id: str
    resolved_at: datetime


@frozen
class Session:
    """One conversation: a pair of session files and an agent of its own."""

    id: str
    agent_group_id: str
    messaging_group_id: str | None
    thread_id: str | None
    agent_provider: str | None
    status: SessionStatus
    container_status: ContainerStatus
    last_active: datetime | None
    created_at: datetime


@frozen
class Presence:
    """News of a session, written coalesced: what its container does, when it was used. None: no news."""

    session_id: str
    container_status: ContainerStatus | None = None
    last_active: datetime | None = None


@frozen
class AgentDestination:
    """The right of an agent to send to a chat (`target_type` channel) or an agent, and its name for it."""

    agent_group_id: str
    local_name: str
    target_type: DestinationType
    target_id: str
    created_at: datetime
    wiring_id: str | None = None
    """The wiring that it came with, and goes with; None: it was made for itself."""


@frozen
class Destination:
    """A name by which an agent may send somewhere, resolved to the chat or agent behind it."""

    name: str
    display_name: str | None
    type: DestinationType
    channel_type: str | None = None
    platform_id: str | None = None
    agent_group_id: str | None = None


@frozen
class PendingQuestion:
    """A card with buttons that an agent sent and nobody has answered."""

    question_id: str
    session_id: str
    message_out_id: str
    platform_id: str | None
    channel_type: str | None
    thread_id: str | None
    title: str
    options: Sequence[object]
    created_at: datetime


@frozen
class PendingApproval:
    """What an agent asked for, and an admin's word on it. `session_id` None: the host itself asked."""

    approval_id: str
    session_id: str | None
    request_id: str
    action: str
    payload: Mapping[str, object]
    created_at: datetime
    agent_group_id: str | None = None
    channel_type: str | None = None
    platform_id: str | None = None
    platform_message_id: str | None = None
    expires_at: datetime | None = None
    status: ApprovalStatus = "pending"
    title: str = ""
    options: Sequence[object] = ()
    payload_hash: str | None = None
    decided_by: str | None = None
    decided_at: datetime | None = None


@frozen
class UnregisteredSender:
    """Somebody who wrote and was not let in: one row a sender and reason."""

    channel_type: str
    platform_id: str
    user_id: str | None
    sender_name: str | None
    reason: str
    messaging_group_id: str | None
    agent_group_id: str | None
    message_count: int
    first_seen: datetime
    last_seen: datetime


@frozen
class ParkedEvent:
    """An accepted event whose session cannot take it yet."""

    id: str
    session_id: str
    event: str
    reason: str
    created_at: datetime


# -- where a session lives -----------------------------------------------------


@frozen
class SessionPaths:
    """The folders and files of one session (contract 1)."""

    root: Path

    @classmethod
    def of(cls, data: Path, agent_group_id: str, session_id: str) -> "SessionPaths":
        """The paths of a session below the data directory."""
        return cls(data / "sessions" / agent_group_id / session_id)

    @cached_property
    def lock(self) -> Path:
        """The host's lock, outside both mounts."""
        return self.root / "owner"

    @cached_property
    def inbound_dir(self) -> Path:
        """Mounted read-only in the container."""
        return self.root / "inbound"

    @cached_property
    def inbound_db(self) -> Path:
        """What the host says to the container."""
        return self.inbound_dir / "inbound.db"

    @cached_property
    def inbox(self) -> Path:
        """Attachments of users, a folder a message."""
        return self.inbound_dir / "inbox"

    @cached_property
    def outbound_dir(self) -> Path:
        """Mounted read-write in the container: everything in it is hostile."""
        return self.root / "outbound"

    @cached_property
    def outbound_db(self) -> Path:
        """What the container says to the host."""
        return self.outbound_dir / "outbound.db"

    @cached_property
    def outbox(self) -> Path:
        """Attachments of the agent, a folder a message."""
        return self.outbound_dir / "outbox"

    @cached_property
    def heartbeat(self) -> Path:
        """Its mtime is the runner's liveness."""
        return self.outbound_dir / ".heartbeat"
