"""Messages from other agents: how a session takes them, and where it cuts a conversation that has no end.

The guards are part of the transaction that stores a message, so they hold across restarts.
"""

import json
from datetime import datetime
from hashlib import blake2b

import structlog
from attrs import frozen

from nanoclaw.records import AgentMessage, Attachment, ChatMessage
from nanoclaw.records.content import dump_chat
from nanoclaw.store import Connection
from nanoclaw.store.session import agent_messages, messages_in
from nanoclaw.store.session.messages_in import NewMessage, OpenMessage, Source

MAX_HOPS = 10
"""A chain of messages that goes further from agent to agent is cut."""
MAX_A_MINUTE = 20
"""Messages between two sessions, in both directions; what goes beyond is cut."""

_log = structlog.get_logger()


@frozen
class AgentMessageOutcome:
    """The outcome of a message that was offered."""

    opened: OpenMessage | None = None
    """Whatever was stored: the message, or that it was cut. None: it was there before, or this was told."""
    cut: str | None = None
    """Why the message was not stored; for the agents."""


def take(
    connection: Connection, said: AgentMessage, attachments: tuple[Attachment, ...], now: datetime
) -> AgentMessageOutcome:
    """Store a message, once; or cut it, and tell this session so once for each chain."""
    if messages_in.is_stored(connection, said.message_id):
        return AgentMessageOutcome()
    reason = _refusal(connection, said, now)
    if reason is not None:
        _log.warning("agents.cut", source=said.source_session_id, chain=said.causation_id, reason=reason)
        return AgentMessageOutcome(messages_in.insert(connection, _cut(said, reason, now)), reason)
    return AgentMessageOutcome(messages_in.insert(connection, _new(said, attachments, now)))


def _refusal(connection: Connection, said: AgentMessage, now: datetime) -> str | None:
    if said.hops > MAX_HOPS:
        return f"the conversation has gone {MAX_HOPS} times from agent to agent"
    received = agent_messages.received(connection, said.source_session_id, now)
    if received + said.exchanged >= MAX_A_MINUTE:
        return f"the two sessions have exchanged {MAX_A_MINUTE} messages within a minute"
    return None


def _new(said: AgentMessage, attachments: tuple[Attachment, ...], now: datetime) -> NewMessage:
    sender = f"agent:{said.sender_group_id}"
    chat = ChatMessage(said.message_out_id, said.text, said.sender_name, sender, attachments)
    return NewMessage(
        id=said.message_id,
        kind="chat",
        timestamp=now,
        address=said.address,
        content=dump_chat(chat),
        source=Source(said.source_session_id, said.causation_id, said.hops),
    )


def _cut(said: AgentMessage, reason: str, now: datetime) -> NewMessage:
    """Make the row by which the agent hears of it; it wakes nobody."""
    content = {"type": "agent_message", "status": "cut", "from": said.sender_name, "reason": reason}
    chain = f"{said.source_session_id}:{said.causation_id}"
    return NewMessage(
        id="cut-" + blake2b(chain.encode(), digest_size=16).hexdigest(),
        kind="system",
        timestamp=now,
        address=said.address,
        content=json.dumps(content, ensure_ascii=False),
        trigger=False,
    )
