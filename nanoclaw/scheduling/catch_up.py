"""Decides which missed slots run (contract 4, Recurrence)."""

from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from nanoclaw.records import CatchUp
from nanoclaw.scheduling.slots import utc
from nanoclaw.scheduling.timetable import Timetable, timetable

MAX_CATCH_UP = 1000
"""Number of slots that `due_slots` returns at once."""


class DueSlots(NamedTuple):
    """The slots to run and the slot to wait for, once an occurrence has ended."""

    run: tuple[datetime, ...]
    """Missed slots to run now, oldest first."""
    next: datetime
    """The next slot. It is in the past only if there were more than `MAX_CATCH_UP` slots to run."""


def due_slots(  # noqa: PLR0913 -- the columns of a task's row, and the time
    expression: str,
    slot: datetime,
    now: datetime,
    zone: ZoneInfo | str,
    catch_up: CatchUp,
    *,
    began: datetime | None = None,
) -> DueSlots:
    """Return the slots to run at the time `now`, and the next one. `slot` is the last handled slot.

    Args:
        expression: the schedule.
        slot: the slot of the occurrence that ended, or that is dropped without a run.
        now: the current time. Slots after `slot` up to now are missed; none if the clock was set back.
        zone: the time zone in which the schedule is read.
        catch_up: what to do with missed slots; `skip` runs only the latest.
        began: when that occurrence began to run; None if it was on time. With `skip`, a late run counts for
            all slots until it began, so that an outage leads to a single late run.

    Raises:
        ScheduleError: the expression or the zone is invalid, or it never fires again.
        ValueError: a time has no time zone.
    """
    slot, now, table = utc(slot), utc(now), timetable(expression, zone)
    match catch_up:
        case "none":
            return DueSlots((), table.next(slot, now))
        case "all":
            return _all(table, slot, now)
        case "skip":
            late = _latest(table, slot, slot if began is None else utc(began), now)
            return DueSlots(() if late is None else (late,), table.next(slot, now))


def _all(table: Timetable, slot: datetime, now: datetime) -> DueSlots:
    missed: list[datetime] = []
    following = table.next(slot, slot)
    while following <= now and len(missed) < MAX_CATCH_UP:
        missed.append(following)
        following = table.next(following, following)
    return DueSlots(tuple(missed), following)


def _latest(table: Timetable, slot: datetime, since: datetime, now: datetime) -> datetime | None:
    """Return the latest slot after `since` up to `now`. It bisects, because there may be millions."""
    latest, end = table.next(slot, since), now
    if latest > now:
        return None
    while (following := table.next(latest, latest)) <= now:
        middle = following + (end - following) / 2
        beyond = table.next(following, middle)
        latest, end = (beyond, end) if beyond <= now else (following, middle)
    return latest
