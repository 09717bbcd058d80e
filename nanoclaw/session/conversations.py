"""Reads conversations from the central database."""

from collections.abc import Iterable, Mapping

from attrs import Factory, frozen

from nanoclaw.records import Address, AgentGroup, MessagingGroup, Session
from nanoclaw.session.services import Conversation
from nanoclaw.store import Connection, DamagedRow
from nanoclaw.store.central import agent_groups, messaging_groups, sessions
from nanoclaw.store.engine.names import is_component
from nanoclaw.store.session.projections import CentralView, central_view


@frozen
class Conversations:
    """The conversations that can be used, and the errors about the sessions that cannot."""

    usable: tuple[Conversation, ...]
    damaged: tuple[DamagedRow, ...]


def open_conversations(connection: Connection) -> Conversations:
    """Return all conversations that are not archived, with agent group and chat."""
    return _conversations(connection, *sessions.split(connection, archived=False))


def every_conversation(connection: Connection) -> Conversations:
    """Return all conversations. Archived ones may still have deliveries."""
    return _conversations(connection, *sessions.split(connection))


def conversation(connection: Connection, session: Session) -> Conversation:
    """Return the conversation of a session.

    Raises:
        DamagedRow: its agent group or chat is missing or damaged, or an id cannot name a folder.
    """
    group = agent_groups.get(connection, session.agent_group_id)
    return _conversation(_Chats(connection), session, {} if group is None else {group.id: group})


def _conversations(
    connection: Connection, rows: Iterable[Session], damaged: list[DamagedRow]
) -> Conversations:
    groups = {group.id: group for group in agent_groups.every(connection)}
    chats, usable = _Chats(connection), list[Conversation]()
    for session in rows:
        try:
            usable.append(_conversation(chats, session, groups))
        except DamagedRow as error:
            damaged.append(error)
    return Conversations(tuple(usable), tuple(damaged))


@frozen
class _Chats:
    """Reads chats, each once."""

    connection: Connection
    _found: dict[str, MessagingGroup | None] = Factory(dict)

    def get(self, id_: str) -> MessagingGroup | None:
        """Return a chat, or None. Raises DamagedRow."""
        if id_ not in self._found:
            self._found[id_] = messaging_groups.get(self.connection, id_)
        return self._found[id_]


def _conversation(chats: _Chats, session: Session, groups: Mapping[str, AgentGroup]) -> Conversation:
    for id_ in (session.id, session.agent_group_id):
        if not is_component(id_):
            raise _unusable(session, f"the id {id_!r:.140} cannot be the name of a folder")
    group = groups.get(session.agent_group_id)
    if group is None:
        raise _unusable(session, f"its agent group {session.agent_group_id!r} is missing or damaged")
    return Conversation(session, group, _chat(chats, session))


def _chat(chats: _Chats, session: Session) -> Address | None:
    if session.messaging_group_id is None:
        return None
    try:
        chat = chats.get(session.messaging_group_id)
    except DamagedRow as error:
        raise _unusable(session, f"its chat cannot be used: {error}") from error
    if chat is None:
        raise _unusable(session, f"its chat {session.messaging_group_id!r} is missing")
    return Address(chat.channel_type, chat.platform_id, session.thread_id)


def _unusable(session: Session, reason: str) -> DamagedRow:
    return DamagedRow("Session", session.id, reason)


def refreshed(connection: Connection, conversation: Conversation) -> tuple[Conversation, CentralView]:
    """Return the current state of a conversation, and its view of the central database."""
    session = sessions.get(connection, conversation.session.id) or conversation.session
    group = agent_groups.get(connection, conversation.agent_group.id) or conversation.agent_group
    return Conversation(session, group, conversation.chat), central_view(connection, group.id)
