"""The values that the parts of the runner exchange."""

from collections.abc import Mapping
from datetime import datetime

from attrs import field, frozen


@frozen
class Address:
    """A chat of a channel, and a thread of it. With `channel_type` `agent`, it is another agent group."""

    channel_type: str
    platform_id: str
    thread_id: str | None = None


@frozen
class Inbound:
    """One row of messages_in, parsed. `seq` is the number the agent knows it by."""

    id: str
    seq: int
    kind: str
    address: Address | None
    content: Mapping[str, object]
    tries: int
    timestamp: datetime
    trigger: bool = True
    """False for context, which needs no answer."""


@frozen
class Sent:
    """A message or request (kind `system`) that an interrupted turn had already sent."""

    seq: int
    kind: str
    address: Address | None
    content: Mapping[str, object]


@frozen
class Turn:
    """One call of the provider: the messages to answer, and their context.

    `context` needs no answer. `context_omitted` counts older context beyond the limit.
    """

    turn_id: str
    messages: tuple[Inbound, ...]
    context: tuple[Inbound, ...] = ()
    already_sent: tuple[Sent, ...] = ()
    context_omitted: int = 0
    assistant_name: str = ""
    agent_group_id: str = ""
    agent_group_name: str = ""
    timezone: str = "UTC"


@frozen
class Reply:
    """Final text. It goes to where the message `in_reply_to` came from, else to the session's own chat."""

    text: str
    in_reply_to: str | None = None


@frozen
class Result:
    """The outcome of a turn, as its provider returns it.

    `consumed` names the follow-ups that are completed without a reply. The next turn gets the others. `state`
    changes the session's state in the transaction that completes the turn: new values by key, None to remove.
    """

    replies: tuple[Reply, ...] = ()
    consumed: tuple[str, ...] = ()
    state: Mapping[str, str | None] = field(factory=dict)


@frozen
class Draft:
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
