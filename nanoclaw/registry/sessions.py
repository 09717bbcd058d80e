"""The registry's messages about sessions, and the events that are parked for them."""

from collections.abc import Sequence
from datetime import datetime

from attrs import frozen

from nanoclaw.records import ParkedEvent, Presence, Session
from nanoclaw.registry.actor import Registry
from nanoclaw.store import Connection, parked_events, pending_questions, sessions
from nanoclaw.store.sessions import SessionChanges


@frozen
class OpenSession:
    """The open session of an agent group for a chat and thread; both None for `agent-shared`."""

    agent_group_id: str
    messaging_group_id: str | None
    thread_id: str | None

    async def handle(self, actor: Registry) -> Session:
        """Find or create it."""
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
class UpdateSession:
    """Pause, resume or archive it, or give it another provider."""

    id: str
    changes: SessionChanges

    async def handle(self, actor: Registry) -> Session:
        """Change it. To open an archived one where another is open is a conflict."""
        session = await actor.commit(sessions.update, self.id, self.changes)
        actor.changes.tell(session.agent_group_id)
        if session.status == "active":
            actor.changes.open(session.id)
        return session


@frozen
class DeleteSession:
    """The row of an archived session; its folder stays, see `store.sessions.delete`."""

    id: str

    async def handle(self, actor: Registry) -> Session:
        """Delete it, unless something refers to it."""
        session = await actor.commit(sessions.delete, self.id)
        actor.changes.tell(session.agent_group_id)
        return session


@frozen
class RecordPresence:
    """What was seen of sessions since the last time; not worth a commit each."""

    news: tuple[Presence, ...]

    async def handle(self, actor: Registry) -> None:
        """Write it down, in one transaction. No session shows it."""
        await actor.note(sessions.record_presence, self.news)


@frozen
class ParkEvent:
    """An accepted event for a session that cannot take it; replayed after repair."""

    session_id: str
    event: str
    reason: str
    answers: str | None = None
    """The id of the question that it answers: taken away with it, so that nobody answers it again."""

    async def handle(self, actor: Registry) -> None:
        """Store it whole; an answer only if its question waits, else it is a `NotFound`."""
        id_ = actor.new_id("park", self.session_id)
        parked = ParkedEvent(id_, self.session_id, self.event, self.reason, actor.clock.now())
        await actor.commit(self._park, parked)

    def _park(self, connection: Connection, parked: ParkedEvent) -> None:
        if self.answers is not None:
            pending_questions.delete(connection, self.answers)
        parked_events.park(connection, parked)


@frozen
class RemoveParked:
    """Parked events that their session has now, or that nobody wants any more."""

    ids: Sequence[str]

    async def handle(self, actor: Registry) -> None:
        """Delete them."""
        await actor.commit(parked_events.remove, self.ids)
