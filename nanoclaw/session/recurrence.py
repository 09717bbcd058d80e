"""What follows the end of an occurrence (contract 4, Recurrence): plain functions of a connection.

Each runs inside the transaction that records the end, so a series never lacks its next row.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import blake2b

import structlog
from attrs import frozen

from nanoclaw.scheduling import DueSlots, ScheduleError, due_slots, next_run
from nanoclaw.store import Connection
from nanoclaw.store.engine.times import to_text
from nanoclaw.store.session import messages_in, tasks
from nanoclaw.store.session.messages_in import OpenMessage
from nanoclaw.store.session.tasks import Occurrence

MISSED_AFTER = timedelta(seconds=60)
"""An occurrence that is later than this was missed; a host that was restarted meanwhile misses nothing."""

_log = structlog.get_logger()


@frozen
class Followed:
    """What comes after an occurrence: its next rows, or why there are none any more."""

    opened: Sequence[OpenMessage] = ()
    stopped: str | None = None


def follow(
    connection: Connection, occurrence: Occurrence, began: datetime | None, now: datetime, zone: str
) -> Followed:
    """Insert what follows an occurrence that has ended; `zone` is for those that name none.

    A schedule that cannot be read, or never fires again, stops its own series and no other.
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
    """That slot of the occurrence's schedule, or the first one after it that has not fired yet.

    It may have fired where the clock went back, or the schedule was changed.
    """
    while occurrence.recurrence and tasks.slot_taken(connection, occurrence.series_id, slot):
        slot = next_run(occurrence.recurrence, slot, occurrence.zone or zone)
    return slot


def row_id(series_id: str, slot: datetime, cause: str) -> str:
    """Of an occurrence: the same however often it is computed, and fit for a path.

    `cause` is the row or the request that it follows: a slot that a task was moved away from may come again,
    and its first row is still there.
    """
    key = f"{series_id}@{to_text(slot)}{cause}"
    return "task-" + blake2b(key.encode(), digest_size=12).hexdigest()


def drop_missed(
    connection: Connection, occurrences: Sequence[Occurrence], now: datetime, zone: str
) -> list[tuple[Occurrence, Followed]]:
    """End occurrences that were missed and are not to be run late; each with what follows it."""
    found = list[tuple[Occurrence, Followed]]()
    for each in occurrences:
        messages_in.settle(connection, each.id, "completed")
        found.append((each, follow(connection, each, None, now, zone)))
        _log.info("task.missed", task=each.series_id, slot=to_text(each.slot))
    return found
