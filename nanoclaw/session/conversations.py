"""Sessions, as the central database has them."""

from collections.abc import Iterable

from nanoclaw.records import Address, Session
from nanoclaw.session.services import Conversation
from nanoclaw.store import Connection, agent_groups, messaging_groups, sessions
from nanoclaw.store.projections import CentralView, central_view


def open_conversations(connection: Connection) -> list[Conversation]:
    """All that are not archived, each with its agent group and chat."""
    return _conversations(connection, sessions.open_ones(connection))


def every_conversation(connection: Connection) -> list[Conversation]:
    """Archived ones, too: those may still have something to deliver."""
    return _conversations(connection, sessions.every(connection))


def conversation(connection: Connection, session: Session) -> Conversation:
    """That of one session."""
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


def seen_from(connection: Connection, conversation: Conversation) -> tuple[Conversation, CentralView]:
    """The same conversation, with what its session and agent group are by now, and what it may see."""
    session = sessions.get(connection, conversation.session.id) or conversation.session
    group = agent_groups.get(connection, conversation.agent_group.id) or conversation.agent_group
    return Conversation(session, group, conversation.chat), central_view(connection, group.id)
