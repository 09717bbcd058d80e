"""The next slot of a schedule. Anybody may call these: they are functions of their arguments alone."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from nanoclaw.scheduling.timetable import timetable

_ANY_TIME = datetime(2024, 1, 1, tzinfo=UTC)
"""Where `check` begins to search, so that its answer does not depend on the date."""


def next_run(expression: str, after: datetime, zone: ZoneInfo | str) -> datetime:
    """The first slot strictly after `after`, in UTC. For `@every`, `after` is the slot before.

    Raises:
        ScheduleError: the expression or the zone is wrong, or it never fires.
        ValueError: `after` has no zone.
    """
    moment = utc(after)
    return timetable(expression, zone).next(moment, moment)


def check(expression: str, zone: ZoneInfo | str) -> None:
    """Refuse a schedule that is wrong or never fires; what passes, `next_run` takes.

    Raises:
        ScheduleError: the sentence says what is wrong.
    """
    next_run(expression, _ANY_TIME, zone)


def utc(moment: datetime) -> datetime:
    """An aware time in UTC.

    Raises:
        ValueError: it has no zone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no zone; times are aware here")
    return moment.astimezone(UTC)
