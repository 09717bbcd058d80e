"""Messages from other agents: storing them, and cutting endless conversations between agents.

The guards are part of the transaction that stores a message, so they hold across restarts.
"""

from datetime import datetime
from hashlib import blake2b

import structlog
from attrs import frozen

from nanoclaw.config.tables import AgentsConfig
from nanoclaw.records import AgentMessage, Attachment, ChatMessage
from nanoclaw.records.content import dump_chat, dump_content
from nanoclaw.store import Connection
from nanoclaw.store.session import agent_messages, messages_in
from nanoclaw.store.session.messages_in import NewMessage, OpenMessage, Source

_log = structlog.get_logger()


@frozen
class AgentMessageOutcome:
    """The outcome of a message from another agent."""

    opened: OpenMessage | None = None
    """The stored row: the message, or the report that it was cut. None if that row was stored before."""
    cut: str | None = None
    """The reason, for the agents, why the message was not stored."""


def take(
    connection: Connection,
    said: AgentMessage,
    attachments: tuple[Attachment, ...],
    now: datetime,
    limits: AgentsConfig,
) -> AgentMessageOutcome:
    """Store a message once, or cut it and report that to this session once per chain."""
    if messages_in.is_stored(connection, said.message_id):
        return AgentMessageOutcome()
    reason = _refusal(connection, said, now, limits)
    if reason is not None:
        _log.warning("agents.cut", source=said.source_session_id, chain=said.causation_id, reason=reason)
        return AgentMessageOutcome(messages_in.insert(connection, _cut(said, reason, now)), reason)
    return AgentMessageOutcome(messages_in.insert(connection, _new(said, attachments, now)))


def _refusal(connection: Connection, said: AgentMessage, now: datetime, limits: AgentsConfig) -> str | None:
    if said.hops > limits.max_hops:
        return f"the chain of messages has more than {limits.max_hops} hops between agents"
    received = agent_messages.received(connection, said.source_session_id, now)
    if received + said.exchanged >= limits.max_a_minute:
        return f"the two sessions have exchanged {limits.max_a_minute} messages within a minute"
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
    """Return the row that reports a cut to the agent. It does not wake the agent."""
    content = {"type": "agent_message", "status": "cut", "from": said.sender_name, "reason": reason}
    chain = f"{said.source_session_id}:{said.causation_id}"
    return NewMessage(
        id="cut-" + blake2b(chain.encode(), digest_size=16).hexdigest(),
        kind="system",
        timestamp=now,
        address=said.address,
        content=dump_content(content),
        trigger=False,
    )
