"""Messages to the registry about sessions, and about events that are parked for them."""

from collections.abc import Sequence
from datetime import datetime

from attrs import frozen

from nanoclaw.records import Closing, ParkedEvent, Presence, Session
from nanoclaw.registry.actor import CheckedMessage, Registry
from nanoclaw.registry.questions import close
from nanoclaw.store import Connection, NotAllowed
from nanoclaw.store.central import parked_events, sessions
from nanoclaw.store.central.sessions import SessionChanges


@frozen
class OpenSession(CheckedMessage):
    """Find or create the open session for an agent group, chat and thread.

    Chat and thread are None for the session mode `agent-shared`.
    """

    agent_group_id: str
    messaging_group_id: str | None
    thread_id: str | None

    async def handle(self, actor: Registry) -> Session:
        """Return the stored or new session."""
        id_ = actor.new_id("sess", *self._key)
        return await actor.commit(self._find_or_create, id_, actor.clock.now())

    @property
    def _key(self) -> tuple[str, str | None, str | None]:
        return self.agent_group_id, self.messaging_group_id, self.thread_id

    def _find_or_create(self, connection: Connection, id_: str, now: datetime) -> Session:
        found = sessions.find_open(connection, *self._key)
        if found is not None:
            return found
        session = Session(id_, *self._key, None, "active", "stopped", None, now)
        sessions.create(connection, session)
        return session


@frozen
class UpdateSession(CheckedMessage):
    """Pause, resume or archive a session, or change its provider."""

    id: str
    changes: SessionChanges
    if_open: bool = False
    """Refuse if the session is archived."""

    async def handle(self, actor: Registry) -> Session:
        """Change the row and return it. Reopening raises `Conflict` if there is another open one."""
        session = await actor.commit(self._update)
        actor.changes.tell(session.agent_group_id)
        if session.status == "active":
            actor.changes.open(session.id)
        return session

    def _update(self, connection: Connection) -> Session:
        if self.if_open and sessions.require(connection, self.id).status == "archived":
            raise NotAllowed(f"session {self.id} is archived, so its conversation is over; resume it first")
        return sessions.update(connection, self.id, self.changes)


@frozen
class DeleteSession(CheckedMessage):
    """Delete the row of an archived session. Its folder stays; see `store.central.sessions.delete`."""

    id: str

    async def handle(self, actor: Registry) -> Session:
        """Delete the row, unless other rows refer to it."""
        session = await actor.commit(sessions.delete, self.id)
        actor.changes.tell(session.agent_group_id)
        return session


@frozen
class RecordPresence:
    """Record the observed state of sessions. Many sessions share one commit."""

    news: tuple[Presence, ...]

    async def handle(self, actor: Registry) -> None:
        """Write all news in one transaction. Projections do not show them, so no watcher is notified."""
        await actor.note(sessions.record_presence, self.news)


@frozen
class ParkEvent:
    """Park an accepted event that its session cannot store. It is replayed after repair."""

    session_id: str
    event: str
    reason: str
    closes: Closing | None = None
    """The end of the question that it answers. The same transaction closes the question."""

    async def handle(self, actor: Registry) -> None:
        """Store the whole event. An answer raises `NotFound` if its question is not waiting."""
        id_ = actor.new_id("park", self.session_id)
        parked = ParkedEvent(id_, self.session_id, self.event, self.reason, actor.clock.now())
        await actor.commit(self._park, parked)
        actor.changes.tell_questions()

    def _park(self, connection: Connection, parked: ParkedEvent) -> None:
        if self.closes is not None:
            close(connection, self.closes, parked.created_at)
        parked_events.park(connection, parked)


@frozen
class RemoveParked:
    """Delete parked events that their session has stored, or that are no longer needed."""

    ids: Sequence[str]

    async def handle(self, actor: Registry) -> None:
        """Delete the rows. Unknown ids are ignored."""
        await actor.commit(parked_events.remove, self.ids)
