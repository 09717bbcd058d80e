"""Reads conversations from the central database."""

from collections.abc import Iterable

from nanoclaw.records import Address, Session
from nanoclaw.session.services import Conversation
from nanoclaw.store import Connection
from nanoclaw.store.central import agent_groups, messaging_groups, sessions
from nanoclaw.store.session.projections import CentralView, central_view


def open_conversations(connection: Connection) -> list[Conversation]:
    """Return all conversations that are not archived, with agent group and chat."""
    return _conversations(connection, sessions.open_ones(connection))


def every_conversation(connection: Connection) -> list[Conversation]:
    """Return all conversations. Archived ones may still have deliveries."""
    return _conversations(connection, sessions.every(connection))


def conversation(connection: Connection, session: Session) -> Conversation:
    """Return the conversation of a session."""
    [found] = _conversations(connection, [session])
    return found


def _conversations(connection: Connection, rows: Iterable[Session]) -> list[Conversation]:
    groups = {group.id: group for group in agent_groups.every(connection)}
    found = list[Conversation]()
    for session in rows:
        row = session.messaging_group_id and messaging_groups.get(connection, session.messaging_group_id)
        chat = Address(row.channel_type, row.platform_id, session.thread_id) if row else None
        found.append(Conversation(session, groups[session.agent_group_id], chat))
    return found


def refreshed(connection: Connection, conversation: Conversation) -> tuple[Conversation, CentralView]:
    """Return the current state of a conversation, and its view of the central database."""
    session = sessions.get(connection, conversation.session.id) or conversation.session
    group = agent_groups.get(connection, conversation.agent_group.id) or conversation.agent_group
    return Conversation(session, group, conversation.chat), central_view(connection, group.id)
