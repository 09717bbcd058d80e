"""The noun `tasks`: work that agents do at a set time, in the files of their sessions."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Annotated

from attrs import frozen

from nanoclaw.operations.declaration import Between, operation
from nanoclaw.operations.noun import Noun
from nanoclaw.operations.rights import Right
from nanoclaw.operations.session_files import InSession, of_key
from nanoclaw.operations.types import AgentRef, SessionRef, TaskRef
from nanoclaw.records import Session
from nanoclaw.session.administration import TaskVerb
from nanoclaw.session.conversations import conversation
from nanoclaw.session.services import Conversation
from nanoclaw.store import Connection, NotAllowed, NotFound, StoreError
from nanoclaw.store.central import sessions
from nanoclaw.store.session import views as session_views
from nanoclaw.store.session.views import Claim, StoredMessage, TaskRow, Turn

COLUMNS = ("id", "agent", "status", "held", "next_run", "recurrence", "prompt")
RUNS = ("started_at", "duration_s", "outcome", "tries", "error")
MOST_RUNS = 1000


@frozen
class TaskView:
    """An open task."""

    id: str
    session_id: str
    agent_group_id: str
    status: str
    """pending or paused."""
    held: str | None
    """The reason why it does not run even when it is due; None if it runs."""
    next_run: datetime | None
    recurrence: str | None
    zone: str | None
    catch_up: str | None
    prompt: str
    address: str | None
    """The address of its answers; None for its session's chat."""
    created_at: datetime | None


@frozen
class TaskRun:
    """A run of a task that has ended; its start and duration are known while the runner keeps its notes."""

    message_id: str
    slot: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    duration_s: float | None
    outcome: str
    """completed, failed, cancelled (before its time), or ended: it was cancelled or missed, or is older than
    the runner's notes."""
    tries: int | None
    """None if the runner's notes do not say."""
    error: str | None


@frozen
class Tasks(Noun):
    """Work that agents do at a set time."""

    name = "tasks"
    summary = "work that agents do at a set time"
    table = "sessions"

    @operation(right=Right.ADMIN, reads=True, columns=COLUMNS)
    async def list(
        self, *, agent: AgentRef | None = None, session: SessionRef | None = None
    ) -> Sequence[TaskView]:
        """List the open tasks, the next one first.

        Args:
            agent: only this agent's.
            session: only this session's.
        """
        every = await self._central.run(sessions.every, None)
        places = [
            each for each in every if agent in {None, each.agent_group_id} and session in {None, each.id}
        ]
        found = await self._ground.files.inbound(places, "tasks", session_views.open_tasks)
        self._note_problems(found)
        tasks = [_view(one.session, row) for one in found for row in one.value or ()]
        return sorted(tasks, key=lambda task: (task.next_run is None, task.next_run, task.id))

    @operation(right=Right.ADMIN, reads=True)
    async def show(self, task: TaskRef) -> TaskView:
        """Show an open task.

        Args:
            task: its id, or the beginning of it.
        """
        session, task_id = await self._session(task)
        [one] = await self._files([session], session_views.open_tasks)
        found = next((row for row in one.value if row.id == task_id), None)
        if found is None:
            raise NotFound(f"task {task_id} has ended; see `nanoclaw tasks history {task_id}`")
        return _view(session, found)

    @operation(right=Right.ADMIN)
    async def pause(self, task: TaskRef) -> TaskView:
        """Pause a task: nothing of it runs until it is resumed.

        Args:
            task: its id, or the beginning of it.
        """
        return await self._change(task, "pause")

    @operation(right=Right.ADMIN)
    async def resume(self, task: TaskRef) -> TaskView:
        """Resume a paused task; what it missed runs as its catch-up says.

        Args:
            task: its id, or the beginning of it.
        """
        return await self._change(task, "resume")

    @operation(right=Right.ADMIN)
    async def run(self, task: TaskRef) -> TaskView:
        """Run a task now. A calendar schedule keeps its times; `@every` counts from this run.

        It is refused while its session is paused or archived.

        Args:
            task: its id, or the beginning of it.
        """
        return await self._change(task, "run")

    @operation(right=Right.ADMIN, asks="Cancel task {task} for good?")
    async def cancel(self, task: TaskRef) -> TaskView:
        """Cancel a task for good.

        Args:
            task: its id, or the beginning of it.
        """
        return await self._change(task, "cancel")

    @operation(right=Right.ADMIN, reads=True, columns=RUNS)
    async def history(
        self, task: TaskRef, *, last: Annotated[int, Between(1, MOST_RUNS)] = 20
    ) -> Sequence[TaskRun]:
        """List the last runs of a task with their outcomes, the newest first.

        Args:
            task: its id, or the beginning of it.
            last: how many runs, at most 1,000.
        """
        session, task_id = await self._session(task)
        query = partial(session_views.task_rows, series_id=task_id, limit=last)
        [one] = await self._files([session], query)
        ids = [row.id for row in one.value]
        claims, turns = list[Claim](), list[Turn]()
        try:
            claims, turns = await self._ground.files.outbound(session, partial(_notes, ids=ids))
        except StoreError as error:
            self.note(f"the runner's notes cannot be read: {error}")
        acks = {claim.message_id: claim for claim in claims}
        lasted = {id_: turn for turn in turns for id_ in turn.message_ids}
        now = self._ground.now()
        return [_run(row, acks.get(row.id), lasted.get(row.id), now) for row in one.value]

    # -- how

    async def _change(self, task: str, verb: TaskVerb) -> TaskView:
        session, task_id = await self._session(task)
        [before] = await self._files([session], session_views.open_tasks)
        who = await self._central.run(_conversation, session.id)
        if verb == "run" and who.session.status != "active":
            raise NotAllowed(
                f"task {task_id} cannot run: its session {session.id} is {session.status}; resume it first "
                f"with `nanoclaw sessions resume {session.id}`"
            )
        await self._ground.sessions.change_task(who, verb, task_id)
        [after] = await self._files([session], session_views.open_tasks)
        for one in (after, before):
            for row in one.value:
                if row.id == task_id:
                    status = row.status if one is after else "cancelled"
                    return _view(session, row, status)
        raise NotFound(f"there is no open task {task_id!r:.140}")

    async def _session(self, task: str) -> tuple[Session, str]:
        session_id, task_id = of_key(task)
        return await self._central.run(sessions.require, session_id), task_id

    async def _files(self, places: Sequence[Session], query: object) -> Sequence[InSession]:
        """Read these files now. Raises NotFound if one of them cannot be read."""
        found = await self._ground.files.inbound(places, "", query)  # type: ignore[arg-type]
        problems = [one.problem for one in found if one.problem]
        if problems or len(found) < len(places):
            raise NotFound("; ".join(problems) or "the session has no file yet")
        return found


def _view(session: Session, row: TaskRow, status: str | None = None) -> TaskView:
    return TaskView(
        id=row.id,
        session_id=session.id,
        agent_group_id=session.agent_group_id,
        status=status or row.status,
        held=None if session.status == "active" else f"its session is {session.status}",
        next_run=row.next_run if session.status == "active" and status != "cancelled" else None,
        recurrence=row.recurrence,
        zone=row.zone,
        catch_up=row.catch_up,
        prompt=row.prompt,
        address=row.address,
        created_at=row.created_at,
    )


def _notes(connection: Connection, ids: Sequence[str]) -> tuple[list[Claim], list[Turn]]:
    return session_views.claims(connection, ids), session_views.turns(connection)


def _run(row: StoredMessage, claim: Claim | None, turn: Turn | None, now: datetime) -> TaskRun:
    known = claim is not None or turn is not None or row.status == "failed"
    started = turn.started_at if turn else None
    ended = (turn.ended_at if turn else None) or (claim.changed_at if claim else None)
    return TaskRun(
        message_id=row.id,
        slot=row.slot,
        started_at=started,
        ended_at=ended,
        duration_s=round((ended - started).total_seconds(), 3) if started and ended else None,
        outcome=row.status if known else _unclaimed(row, now),
        tries=row.tries + 1 if known else row.tries or None,
        error=claim.error if claim else None,
    )


def _unclaimed(row: StoredMessage, now: datetime) -> str:
    """Return the outcome of an occurrence that the runner's notes do not contain."""
    return "cancelled" if row.due_at is not None and row.due_at > now else "ended"


def _conversation(connection: Connection, session_id: str) -> Conversation:
    return conversation(connection, sessions.require(connection, session_id))
