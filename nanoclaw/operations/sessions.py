"""The noun `sessions`."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Unpack

from attrs import frozen

from nanoclaw.operations.declaration import Named, operation
from nanoclaw.operations.noun import Noun
from nanoclaw.operations.rights import Right
from nanoclaw.operations.types import AgentRef, OptionalText, SessionRef
from nanoclaw.records import Session, SessionStatus
from nanoclaw.registry import DeleteSession, OpenSession, UpdateSession
from nanoclaw.session.conversations import conversation
from nanoclaw.session.services import Conversation
from nanoclaw.store import Connection, NotAllowed
from nanoclaw.store.central import parked_events, sessions
from nanoclaw.store.central.sessions import SessionChanges
from nanoclaw.store.session import views as session_views

COLUMNS = ("id", "agent", "chat", "thread_id", "status", "container_status", "last_active")

CHANGED = ("id", "agent", "chat", "thread_id", "status")
"""The columns after a change. The runner is left out: the central database has its last seen state."""
_NEXT_RUNNER: Mapping[SessionStatus, str] = {
    "active": "; its next message starts one",
    "paused": ", and gets none while it is paused; resume it first",
    "archived": ", and gets none any more: it is archived",
}
NAMED = 5
"""Maximum number of open tasks that a question names."""


@frozen
class SessionView:
    """A session with its waiting messages and tasks."""

    id: str
    agent_group_id: str
    messaging_group_id: str | None
    thread_id: str | None
    agent_provider: str | None
    model: str | None
    """The name of its model. None: its agent's."""
    status: str
    container_status: str
    state: str | None
    """State of its actor in the running host; None if no actor runs."""
    parked: int
    """Number of messages that wait until the session can take them."""
    last_active: datetime | None
    created_at: datetime


@frozen
class Sessions(Noun):
    """The conversations: a pair of session files and a runner each."""

    name = "sessions"
    summary = "the conversations: a pair of session files and a runner each"
    table = "sessions"

    @operation(right=Right.ADMIN, reads=True, columns=COLUMNS)
    async def list(
        self,
        status: Annotated[SessionStatus | None, Named("status", option=True)] = None,
        *,
        agent: AgentRef | None = None,
    ) -> Sequence[Session]:
        """List the sessions, the oldest first.

        Args:
            status: only those of this status.
            agent: only this agent's.
        """
        found = await self._central.run(sessions.every, status)
        return [each for each in found if agent in {None, each.agent_group_id}]

    @operation(right=Right.ADMIN, reads=True)
    async def show(self, session: SessionRef) -> SessionView:
        """Show a session and what waits for it.

        Args:
            session: its id, or `channel:platform_id[/thread]`.
        """
        found, parked = await self._central.run(_with_parked, session)
        state = self._ground.sessions.state(found.id)
        return SessionView(
            id=found.id,
            agent_group_id=found.agent_group_id,
            messaging_group_id=found.messaging_group_id,
            thread_id=found.thread_id,
            agent_provider=found.agent_provider,
            model=found.model,
            status=found.status,
            container_status=found.container_status,
            state=state,
            parked=parked,
            last_active=found.last_active,
            created_at=found.created_at,
        )

    @operation(right=Right.ADMIN, columns=CHANGED)
    async def pause(self, session: SessionRef) -> Session:
        """Pause a session: its messages are stored, and its tasks do not run, until it is resumed.

        It is refused for an archived session.

        Args:
            session: its id, or `channel:platform_id[/thread]`.
        """
        return await self._registry.ask(UpdateSession(session, {"status": "paused"}, if_open=True))

    @operation(
        right=Right.ADMIN,
        columns=CHANGED,
        conflict="another session is open in the place of {session}; archive that one first",
    )
    async def resume(self, session: SessionRef) -> Session:
        """Resume a session that is paused or archived.

        Args:
            session: its id, or `channel:platform_id[/thread]`.
        """
        return await self.update(session, status="active")

    @operation(
        right=Right.ADMIN,
        columns=CHANGED,
        asks="Archive session {session}? The next message opens a new one.",
    )
    async def archive(self, session: SessionRef) -> Session:
        """Archive a session: its tasks do not run any more, and the next message opens a new one.

        Args:
            session: its id, or `channel:platform_id[/thread]`.
        """
        return await self.update(session, status="archived")

    @operation(right=Right.ADMIN, columns=CHANGED)
    async def restart(self, session: SessionRef) -> Session:
        """Stop a session's runner; what waits starts another one at once.

        Args:
            session: its id, or `channel:platform_id[/thread]`.
        """
        who = await self._central.run(_conversation, session)
        if not await self._ground.sessions.restart_runner(who):
            raise NotAllowed(f"session {who.session.id} has no runner{_NEXT_RUNNER[who.session.status]}")
        return who.session

    @operation(right=Right.ADMIN, columns=(*CHANGED, "agent_provider", "model"))
    async def set(
        self,
        session: SessionRef,
        provider: Annotated[OptionalText | None, Named("provider", option=True)] = None,
        model: Annotated[OptionalText | None, Named("model", option=True)] = None,
    ) -> Session:
        """Change a session's provider and its model, from its next runner on.

        With another provider, a model that is not given is that provider's own.

        Args:
            session: its id, or `channel:platform_id[/thread]`.
            provider: what answers; an empty text: its agent's.
            model: the model's name at its server; an empty text: its agent's.
        """
        if provider is None and model is None:
            raise NotAllowed("nothing to change: give --provider or --model")
        changes: SessionChanges = {"model": model or None}
        if provider is not None:
            changes["agent_provider"] = provider or None
        changed = await self.update(session, **changes)
        if provider is not None:
            self._note_refusal(provider)
        if self._ground.sessions.state(changed.id) is not None:
            self.note(
                f"a runner that is at work keeps its model; `nanoclaw sessions restart {changed.id}` ends it"
            )
        return changed

    @operation(
        right=Right.ADMIN,
        columns=CHANGED,
        asks="Delete session {session}? Its messages and tasks are not listed any more; its folder stays.",
    )
    async def delete(self, session: SessionRef) -> Session:
        """Delete the row of an archived session with its questions; its folder stays.

        Its messages and tasks stay in its folder, and no command lists them any more.

        Args:
            session: its id.
        """
        return await self._registry.ask(DeleteSession(session))

    async def warning(self, verb: str, arguments: Mapping[str, Any]) -> str:
        """Return a warning with the open tasks that will never run again."""
        if verb not in {"archive", "delete"}:
            return ""
        session = await self._central.run(sessions.require, arguments["session"])
        found = await self._ground.files.inbound([session], "tasks", session_views.open_tasks)
        ids = [task.id for one in found for task in one.value or ()]
        if not ids:
            return ""
        more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
        tasks = "task, which does" if len(ids) == 1 else "tasks, which do"
        return f"It has {len(ids)} open {tasks} not run any more: {', '.join(ids[:NAMED])}{more}."

    # -- for embedders

    async def open(
        self, agent_group_id: str, messaging_group_id: str | None, thread_id: str | None = None
    ) -> Session:
        """Return the open session of an agent, chat and thread; create it if it is missing."""
        return await self._registry.ask(OpenSession(agent_group_id, messaging_group_id, thread_id))

    async def get(self, id_: str) -> Session | None:
        """Return the session with that id."""
        return await self._central.run(sessions.get, id_)

    async def find_open(
        self, agent_group_id: str, messaging_group_id: str | None, thread_id: str | None = None
    ) -> Session | None:
        """Return the open session of an agent, chat and thread."""
        return await self._central.run(sessions.find_open, agent_group_id, messaging_group_id, thread_id)

    async def find_shared(self, agent_group_id: str) -> Session | None:
        """Return the open session of an agent over all its chats."""
        return await self._central.run(sessions.find_shared, agent_group_id)

    async def for_agent(self, agent_group_id: str) -> Sequence[Session]:
        """Return an agent's sessions, including archived ones, the oldest first."""
        return await self._central.run(sessions.for_agent, agent_group_id)

    async def running(self) -> Sequence[Session]:
        """Return the sessions with a container, as last written; the oldest first."""
        return await self._central.run(sessions.running)

    async def update(self, id_: str, **changes: Unpack[SessionChanges]) -> Session:
        """Change a session. Raises `NotFound`, `Conflict` (another one is open in its place)."""
        return await self._registry.ask(UpdateSession(id_, changes))


def _with_parked(connection: Connection, session_id: str) -> tuple[Session, int]:
    found = sessions.require(connection, session_id)
    return found, parked_events.counts(connection).get(session_id, 0)


def _conversation(connection: Connection, session_id: str) -> Conversation:
    return conversation(connection, sessions.require(connection, session_id))
