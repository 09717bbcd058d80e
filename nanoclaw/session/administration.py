"""What an administrator asks of a session: messages to its actor, built on functions of a connection.

A message's transaction and its change of the actor's memory are one step for the other tasks of the session:
the writer hands over to the next transaction only after a checkpoint, and there is none in between.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Literal

from attrs import evolve, frozen

from nanoclaw.records import Answer
from nanoclaw.session import recurrence
from nanoclaw.session.actions import Site
from nanoclaw.session.actor import SessionActor, answer_row
from nanoclaw.store import Connection, NotAllowed, NotFound
from nanoclaw.store.session import messages_in, tasks
from nanoclaw.store.session.messages_in import OpenMessage
from nanoclaw.store.session.tasks import Occurrence

TaskVerb = Literal["pause", "resume", "cancel", "run"]


@frozen
class TaskChange:
    """A task after a change; `opened` and `closed` are its open messages that are new or gone."""

    task_id: str
    opened: Sequence[OpenMessage] = ()
    closed: Sequence[str] = ()


# -- functions of a connection -------------------------------------------------


def change_task(connection: Connection, verb: TaskVerb, task_id: str, site: Site) -> TaskChange:
    """Pause, resume, cancel or run a task at once.

    Raises:
        NotFound: no open task has that id.
        NotAllowed: the task is not in a state in which that can be done.
    """
    found = tasks.named(connection, task_id)
    if not found:
        raise NotFound(f"there is no open task {task_id!r:.140}")
    return _VERBS[verb](connection, found, site)


def _pause(connection: Connection, found: Sequence[Occurrence], _site: Site) -> TaskChange:
    if all(each.paused for each in found):
        raise NotAllowed("the task is paused already")
    tasks.set_paused(connection, found, paused=True)
    return TaskChange(found[-1].series_id, closed=[each.id for each in found])


def _resume(connection: Connection, found: Sequence[Occurrence], site: Site) -> TaskChange:
    """Resume it; an occurrence that was missed and must not run late is dropped."""
    found = [evolve(each, paused=False) for each in found if each.paused]
    if not found:
        raise NotAllowed("the task is not paused")
    tasks.set_paused(connection, found, paused=False)
    missed = [each for each in found if each.catch_up == "none" and each.slot < site.now]
    followed = recurrence.drop_missed(connection, missed, site.now, site.zone)
    kept = [each.message for each in found if each not in missed]
    return TaskChange(
        found[-1].series_id, opened=[*kept, *(message for _, after in followed for message in after.opened)]
    )


def _cancel(connection: Connection, found: Sequence[Occurrence], _site: Site) -> TaskChange:
    tasks.end(connection, found)
    return TaskChange(found[-1].series_id, closed=[each.id for each in found])


def _run(connection: Connection, found: Sequence[Occurrence], site: Site) -> TaskChange:
    """Move the next occurrence to this moment; what recurs goes on from here by its schedule."""
    occurrence = found[-1]
    if occurrence.paused:
        raise NotAllowed("the task is paused; resume it first")
    if any(each.id in site.claimed or each.message.due(site.now) for each in found):
        raise NotAllowed("the task is running, or about to")
    id_ = recurrence.row_id(occurrence.series_id, site.now, occurrence.id)
    moved = tasks.move(connection, occurrence, id_, site.now, site.now)
    return TaskChange(occurrence.series_id, opened=[moved], closed=[occurrence.id])


_VERBS: Mapping[TaskVerb, Callable[[Connection, Sequence[Occurrence], Site], TaskChange]] = {
    "pause": _pause,
    "resume": _resume,
    "cancel": _cancel,
    "run": _run,
}


def store_answer(connection: Connection, answer: Answer, now: datetime) -> OpenMessage | None:
    """Store the answer to a question of a session that does not live. None: it has one already."""
    return messages_in.insert(connection, answer_row(answer, now))


# -- messages ------------------------------------------------------------------


@frozen
class ChangeTask:
    """Change one task of the session."""

    verb: TaskVerb
    task_id: str

    async def handle(self, actor: SessionActor) -> TaskChange:
        """Commit the change, then wake the session: it may have work, or less of it."""
        shell, services = actor.shell, actor.services
        with shell.under_way():
            site = Site(
                services.clock.now(), services.config.timezone, frozenset(shell.state.messages.claimed)
            )
            change = await actor.inbound.run(change_task, self.verb, self.task_id, site)
            shell.tasks_changed(change.opened, change.closed)
        shell.tick()
        shell.wake()
        return change


@frozen
class RestartRunner:
    """Stop the session's runner; work starts another one at once, without waiting for a back-off."""

    async def handle(self, actor: SessionActor) -> bool:
        """Ask it to stop. False: there is none, and none was being delayed."""
        runner = actor.shell.state.runner
        actor.shell.restart_runner()
        return runner.alive or bool(runner.failures)
