"""The next slot of a schedule. These functions are pure, so any task or thread may call them."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from nanoclaw.scheduling.timetable import timetable

_ANY_TIME = datetime(2024, 1, 1, tzinfo=UTC)
"""Start of the search in `check`. It is fixed, so the result does not depend on the date."""


def next_run(expression: str, after: datetime, zone: ZoneInfo | str) -> datetime:
    """Return the first slot strictly after `after`, in UTC. For `@every`, `after` is the previous slot.

    Raises:
        ScheduleError: the expression or the zone is invalid, or it never fires.
        ValueError: `after` has no time zone.
    """
    moment = utc(after)
    return timetable(expression, zone).next(moment, moment)


def slot_after(expression: str, slot: datetime, moment: datetime, zone: ZoneInfo | str) -> datetime:
    """Return the first slot after `moment`, which may be before `slot`, one slot of the series.

    Raises:
        ScheduleError: the expression or the zone is invalid, or it never fires.
        ValueError: a time has no time zone.
    """
    return timetable(expression, zone).after(utc(slot), utc(moment))


def period(expression: str, moment: datetime, zone: ZoneInfo | str) -> timedelta:
    """Return the time between the first two slots after `moment`.

    Raises:
        ScheduleError: the expression or the zone is invalid, or it never fires.
        ValueError: `moment` has no time zone.
    """
    first = next_run(expression, moment, zone)
    return next_run(expression, first, zone) - first


def check(expression: str, zone: ZoneInfo | str) -> None:
    """Reject a schedule that is invalid or never fires. `next_run` accepts every schedule that passes.

    Raises:
        ScheduleError: the sentence says what is wrong.
    """
    next_run(expression, _ANY_TIME, zone)


def utc(moment: datetime) -> datetime:
    """Return an aware time in UTC.

    Raises:
        ValueError: it has no time zone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone; pass an aware datetime")
    return moment.astimezone(UTC)
