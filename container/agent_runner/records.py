"""The values that the parts of the runner exchange."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from attrs import field, frozen


@frozen
class Address:
    """A chat of a channel, and a thread of it. With `channel_type` `agent`, it is another agent group."""

    channel_type: str
    platform_id: str
    thread_id: str | None = None


@frozen
class Destination:
    """A chat or agent that this agent may write to, by the name that it knows."""

    name: str
    """The name that `to` takes."""
    display_name: str
    """The name that people know."""
    address: Address
    """Where it leads. With `channel_type` `agent`, it is another agent."""


@frozen
class Inbound:
    """One row of messages_in, parsed."""

    id: str
    """The id that a reply names in `in_reply_to`."""
    seq: int
    """The number the agent knows it by."""
    kind: str
    """`chat`, `chat-sdk`, `task`, `webhook` or `system`."""
    address: Address | None
    """The chat that it came from."""
    content: Mapping[str, object]
    """The content of its kind (contract 5)."""
    tries: int
    """The number of this try, from 1."""
    timestamp: datetime
    """The time at which it was stored."""
    trigger: bool = True
    """False for context, which needs no answer."""


@frozen
class Sent:
    """A message or request (kind `system`) that an interrupted turn had already sent."""

    seq: int
    """The number the agent knows it by."""
    kind: str
    """`chat`, or `system` for a request to the host."""
    address: Address | None
    """The chat that it was sent to."""
    content: Mapping[str, object]
    """The content of its kind (contract 5)."""


@frozen
class Turn:
    """One call of the provider: the messages to answer, and their context."""

    turn_id: str
    """The id of this turn, a new one for each."""
    messages: tuple[Inbound, ...]
    """The messages to answer, oldest first."""
    context: tuple[Inbound, ...] = ()
    """Messages to read that need no answer, oldest first."""
    already_sent: tuple[Sent, ...] = ()
    """The messages that this turn sent before it was interrupted. Do not send them again."""
    context_omitted: int = 0
    """The number of older messages of the context, beyond the limit."""
    assistant_name: str = ""
    """The name that users know."""
    agent_group_id: str = ""
    """The id of the agent."""
    agent_group_name: str = ""
    """The name of the agent."""
    timezone: str = "UTC"
    """The user's zone, an IANA name."""
    destinations: tuple[Destination, ...] = ()
    """The chats and agents that may be written to by name, as they are at the start of the turn."""
    home: Address | None = None
    """The chat that is being answered."""
    admin_user_ids: tuple[str, ...] = ()
    """The ids of the users who may change this agent: owners and admins."""
    now: datetime | None = None
    """The time at which the turn starts. Its messages may be older."""


@frozen
class Reply:
    """A final text."""

    text: str
    """The text of the agent."""
    in_reply_to: str | None = None
    """The id of the message whose chat gets it; None: the session's own chat."""
    to: str | None = None
    """The name of a destination that gets it instead."""
    markdown: bool = False
    """True if the text is Markdown, as models write it."""


@frozen
class Result:
    """The outcome of a turn, as its provider returns it."""

    replies: tuple[Reply, ...] = ()
    """The final texts. Without one, the agent stays silent."""
    consumed: tuple[str, ...] = ()
    """The ids of follow-ups that are completed without a reply. The next turn gets the others."""
    state: Mapping[str, str | None] = field(factory=dict)
    """Changes of the session's state, committed with the turn: new values by key, None to remove."""


@frozen
class OutgoingRow:
    """A row of messages_out before it has its number. Only a request (kind `system`) needs no address."""

    id: str
    at: datetime
    address: Address | None
    content: Mapping[str, object]
    turn_id: str
    in_reply_to: str | None = None
    kind: str = "chat"


@frozen
class Claim:
    """A message that a turn has claimed, and the number of its try."""

    id: str
    tries: int


@frozen
class Unreadable:
    """A row whose content no runner can read."""

    claim: Claim
    reason: str


@frozen
class Delivered:
    """The final outcome of a sent message, as the host recorded it."""

    status: str
    platform_message_id: str | None


@frozen
class Target:
    """The message with a sequence number: its address, and the values that identify it on its platform."""

    address: Address | None
    content: Mapping[str, object] = field(factory=dict)
    message_out_id: str | None = None


@frozen
class Note:
    """A note of an agent."""

    id: int
    """The number that the agent knows."""
    text: str
    """The note."""
    tags: str
    """Words, separated by spaces."""
    written_at: str
    """The time at which it was written, as text."""


@frozen
class Notebook:
    """The notes that a prompt shows."""

    newest: Sequence[Note] = ()
    """The newest notes, newest first."""
    used: Sequence[Note] = ()
    """Those that were recalled most often, most often first."""
    total: int = 0
    """The number of all notes."""
