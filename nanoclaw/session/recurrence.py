"""Inserts the next occurrences of a task (contract 4, Recurrence). Plain functions of a connection.

Each runs inside the transaction that records the end of an occurrence, so a series never lacks its next row.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import blake2b

import structlog
from attrs import evolve, frozen

from nanoclaw.records import CatchUp
from nanoclaw.scheduling import DueSlots, ScheduleError, due_slots, next_run, slot_after
from nanoclaw.store import Connection
from nanoclaw.store.engine.times import to_text
from nanoclaw.store.session import messages_in, tasks
from nanoclaw.store.session.messages_in import OpenMessage
from nanoclaw.store.session.tasks import Occurrence

MISSED_AFTER = timedelta(seconds=60)
"""Delay after which an occurrence counts as missed. A restart of the host takes less."""

_log = structlog.get_logger()


def never_runs(slot: datetime, expression: str | None, catch_up: CatchUp, now: datetime) -> bool:
    """Return True if a task's only time is missed, and it must not run late."""
    return expression is None and catch_up == "none" and slot < now - MISSED_AFTER


@frozen
class Followed:
    """The next rows of a series, or the reason why it stopped."""

    opened: Sequence[OpenMessage] = ()
    stopped: str | None = None


def follow(
    connection: Connection, occurrence: Occurrence, began: datetime | None, now: datetime, zone: str
) -> Followed:
    """Insert the next occurrences after one that has ended. `zone` is the default time zone.

    A schedule that is invalid or never fires again stops only its own series.
    """
    if occurrence.recurrence is None:
        return Followed()
    tasks.clear_recurrence(connection, occurrence)
    try:
        due = due_slots(
            occurrence.recurrence,
            occurrence.slot,
            now,
            occurrence.zone or zone,
            occurrence.catch_up,
            began=began,
        )
        return Followed(_insert(connection, occurrence, due, now, zone))
    except ScheduleError as error:
        _log.error("task.stopped", task=occurrence.series_id, reason=str(error))
        return Followed(stopped=str(error))


def _insert(
    connection: Connection, before: Occurrence, due: DueSlots, now: datetime, zone: str
) -> list[OpenMessage]:
    late = [slot for slot in due.run if not tasks.slot_taken(connection, before.series_id, slot)]
    slots = [*late, free_slot(connection, before, due.next, zone)]
    return [
        tasks.repeat(
            connection, before, row_id(before.series_id, slot, before.id), slot, now, last=slot is slots[-1]
        )
        for slot in slots
    ]


def free_slot(connection: Connection, occurrence: Occurrence, slot: datetime, zone: str) -> datetime:
    """Return that slot of the schedule, or the first later slot that has not fired yet.

    A slot may have fired already if the clock was set back or the schedule was changed.
    """
    while occurrence.recurrence and tasks.slot_taken(connection, occurrence.series_id, slot):
        slot = next_run(occurrence.recurrence, slot, occurrence.zone or zone)
    return slot


def row_id(series_id: str, slot: datetime, cause: str) -> str:
    """Return the id of an occurrence. It is deterministic, and may be used in a path.

    `cause` is the id of the row or request that it follows. A task may return to a slot that it was moved
    away from, and the first row of that slot still exists.
    """
    key = f"{series_id}@{to_text(slot)}{cause}"
    return "task-" + blake2b(key.encode(), digest_size=12).hexdigest()


def redate(
    connection: Connection, occurrences: Sequence[Occurrence], now: datetime, zone: str
) -> list[tuple[Occurrence, OpenMessage]]:
    """Move occurrences whose slots were computed while the date was ahead to their right slots.

    Returns:
        The replaced occurrences, each with its new row. A start that the agent chose is kept.
    """
    found = list[tuple[Occurrence, OpenMessage]]()
    for each in occurrences:
        slot = _right_slot(connection, each, now, zone)
        if slot is not None:
            moved = tasks.move(connection, each, row_id(each.series_id, slot, each.id), slot, now)
            found.append((each, moved))
            _log.info("task.redated", task=each.series_id, was=to_text(each.slot), slot=to_text(slot))
    return found


def _right_slot(connection: Connection, occurrence: Occurrence, now: datetime, zone: str) -> datetime | None:
    """Return the first slot from now on that has not fired, or None if the present slot stays."""
    stored = occurrence.stored_at
    try:
        computed = stored and _first_free(connection, occurrence, stored, zone)
        slot = _first_free(connection, occurrence, now, zone)
    except ScheduleError:
        return None  # the end of the occurrence reports it
    return slot if computed == occurrence.slot and slot < occurrence.slot else None


def _first_free(connection: Connection, occurrence: Occurrence, after: datetime, zone: str) -> datetime:
    """Return the first slot after that date that no other row has taken, at most the present one."""
    assert occurrence.recurrence is not None  # noqa: S101 -- only recurring tasks are redated
    own_zone = occurrence.zone or zone
    slot = slot_after(occurrence.recurrence, occurrence.slot, after, own_zone)
    while slot < occurrence.slot and tasks.slot_taken(connection, occurrence.series_id, slot):
        slot = next_run(occurrence.recurrence, slot, own_zone)
    return slot


def drop_missed(
    connection: Connection, occurrences: Sequence[Occurrence], now: datetime, zone: str
) -> list[tuple[Occurrence, Followed]]:
    """End missed occurrences that must not run late. Return each with its next occurrences."""
    found = list[tuple[Occurrence, Followed]]()
    for each in occurrences:
        messages_in.settle(connection, each.id, "completed")
        found.append((each, follow(connection, each, None, now, zone)))
        _log.info("task.missed", task=each.series_id, slot=to_text(each.slot))
    return found


def resume(
    connection: Connection, paused: Sequence[Occurrence], now: datetime, zone: str
) -> list[OpenMessage]:
    """Resume occurrences of a task. One that was missed and must not run late is dropped.

    Returns the messages that are open from now on.
    """
    tasks.set_paused(connection, paused, paused=False)
    resumed = [evolve(each, paused=False) for each in paused]
    missed = [each for each in resumed if each.catch_up == "none" and each.slot < now]
    followed = drop_missed(connection, missed, now, zone)
    kept = [each.message for each in resumed if each not in missed]
    return [*kept, *(message for _, after in followed for message in after.opened)]
