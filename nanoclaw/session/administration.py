"""Administrative messages to a session's actor, built on functions of a connection.

The other tasks of the session see a transaction and the change of the actor's memory as one step: there is
no checkpoint between them, and the writer starts the next transaction only after one.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Literal

import trio
from attrs import frozen

from nanoclaw.records import Answer
from nanoclaw.session import recurrence
from nanoclaw.session.actor import SessionActor
from nanoclaw.session.arrivals import answer_row
from nanoclaw.session.requests import ActionContext
from nanoclaw.store import Connection, NotAllowed, NotFound
from nanoclaw.store.engine.times import to_text
from nanoclaw.store.session import messages_in, tasks
from nanoclaw.store.session.messages_in import OpenMessage
from nanoclaw.store.session.tasks import Occurrence

TaskVerb = Literal["pause", "resume", "cancel", "run"]


@frozen
class TaskChange:
    """The result of a change of a task: the messages that it opened, and the ids of those that it closed."""

    task_id: str
    opened: Sequence[OpenMessage] = ()
    closed: Sequence[str] = ()


# -- functions of a connection -------------------------------------------------


def change_task(connection: Connection, verb: TaskVerb, task_id: str, context: ActionContext) -> TaskChange:
    """Pause, resume, cancel or run a task at once.

    Raises:
        NotFound: no open task has that id.
        NotAllowed: the state of the task does not allow it.
    """
    found = tasks.named(connection, task_id)
    if not found:
        raise NotFound(f"there is no open task {task_id!r:.140}")
    return _VERBS[verb](connection, found, context)


def _pause(connection: Connection, found: Sequence[Occurrence], _context: ActionContext) -> TaskChange:
    if all(each.paused for each in found):
        raise NotAllowed("the task is paused already")
    tasks.set_paused(connection, found, paused=True)
    return TaskChange(found[-1].series_id, closed=[each.id for each in found])


def _resume(connection: Connection, found: Sequence[Occurrence], context: ActionContext) -> TaskChange:
    paused = [each for each in found if each.paused]
    if not paused:
        raise NotAllowed("the task is not paused")
    last = paused[-1]
    if recurrence.never_runs(last.slot, last.recurrence, last.catch_up, context.now):
        raise NotAllowed(f"its only time {to_text(last.slot)} is past, and it never runs late; cancel it")
    opened = recurrence.resume(connection, paused, context.now, context.zone)
    return TaskChange(paused[-1].series_id, opened=opened)


def _cancel(connection: Connection, found: Sequence[Occurrence], _context: ActionContext) -> TaskChange:
    tasks.end(connection, found)
    return TaskChange(found[-1].series_id, closed=[each.id for each in found])


def _run(connection: Connection, found: Sequence[Occurrence], context: ActionContext) -> TaskChange:
    """Move the next occurrence to now. A recurring task continues from here by its schedule."""
    occurrence = found[-1]
    if occurrence.paused:
        raise NotAllowed("the task is paused; resume it first")
    if any(each.id in context.claimed or each.message.due(context.now) for each in found):
        raise NotAllowed("the task is running or due already")
    id_ = recurrence.row_id(occurrence.series_id, context.now, occurrence.id)
    moved = tasks.move(connection, occurrence, id_, context.now, context.now)
    return TaskChange(occurrence.series_id, opened=[moved], closed=[occurrence.id])


_VERBS: Mapping[TaskVerb, Callable[[Connection, Sequence[Occurrence], ActionContext], TaskChange]] = {
    "pause": _pause,
    "resume": _resume,
    "cancel": _cancel,
    "run": _run,
}


def store_answer(connection: Connection, answer: Answer, now: datetime) -> OpenMessage | None:
    """Store the answer to a question of a session that is at rest. None: it has one already."""
    return messages_in.insert(connection, answer_row(answer, now))


# -- messages ------------------------------------------------------------------


@frozen
class ChangeTask:
    """Change one task of the session."""

    verb: TaskVerb
    task_id: str

    async def handle(self, actor: SessionActor) -> TaskChange:
        """Commit the change, then wake the session, since its work may have changed."""
        shell, services = actor.shell, actor.services
        with shell.under_way():
            context = ActionContext(
                services.clock.now(), services.config.timezone, frozenset(shell.state.messages.claimed)
            )
            change = await actor.inbound.run(change_task, self.verb, self.task_id, context)
            shell.tasks_changed(change.opened, change.closed)
        shell.tick()
        shell.wake()
        return change


@frozen
class RestartRunner:
    """Stop the session's runner. If there is work, another one starts at once, without a back-off."""

    async def handle(self, actor: SessionActor) -> bool:
        """Stop the runner. Return False if there is none and no start was delayed.

        One that waits for its place keeps it: it reads the agent's files when it starts.
        """
        await trio.lowlevel.checkpoint()
        runner, waits_for = actor.shell.state.runner, actor.shell.state.open_breaker
        if runner.waits:
            return True
        if waits_for is not None and waits_for.breaker.kind == "disk":
            actor.services.space.look_again(actor.conversation.session.id)
            return True
        actor.shell.restart_runner()
        return runner.alive or bool(runner.failures)


@frozen
class RenewRunner:
    """Have the session's runner end after its turn, because the agent's configuration has changed."""

    async def handle(self, actor: SessionActor) -> None:
        """Mark the runner, and stop it if it is in no turn. One that starts later reads the new files."""
        await trio.lowlevel.checkpoint()
        actor.shell.renew_runner()
        actor.shell.wake()


@frozen
class IsRenewed:
    """Ask if the runner that was to end has ended."""

    async def handle(self, actor: SessionActor) -> bool:
        """Return False while it is in its last turn, or ends."""
        await trio.lowlevel.checkpoint()
        return not actor.shell.state.runner.outdated
