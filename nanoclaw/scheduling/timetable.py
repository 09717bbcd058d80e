"""A schedule in a zone: the slots after a moment.

croniter walks naive local time only. Its own treatment of zones fires a fixed hour twice in autumn and at odd
times in the spring gap, so where the clock jumps is decided here.
"""

from datetime import UTC, datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from attrs import frozen
from croniter import croniter

from nanoclaw.scheduling.errors import ScheduleError
from nanoclaw.scheduling.expression import Cron, Every, parse
from nanoclaw.scheduling.zones import (
    SECOND,
    first_change,
    first_shown,
    latest_shown,
    moment_of,
    offset_at,
    wall_at,
    zone_of,
)

SEARCH_YEARS = 50
"""The rarest date, 29 February on a given weekday, comes after 40 years at most."""

_WINDOW = timedelta(days=3)
_BACK = timedelta(days=1.5)
"""Two offsets differ by 26 hours at most, so a wall further off than this is reached by no jump."""


class Timetable(Protocol):
    """The slots of one schedule in one zone."""

    def next(self, slot: datetime, moment: datetime) -> datetime:
        """The first slot after `moment`, and after `slot`, which is itself one.

        Raises:
            ScheduleError: it does not fire for 50 years, or not before the year 10000.
        """
        ...


def timetable(expression: str, zone: ZoneInfo | str) -> Timetable:
    """Read a schedule for a zone. For one caller in one thread: croniter keeps a state.

    Raises:
        ScheduleError: the schedule or the zone is wrong.
    """
    known, rule = zone_of(zone), parse(expression)
    if isinstance(rule, Every):
        return _Interval(expression, rule)
    return _Calendar(expression, rule, known, tuple(_walker(plan) for plan in rule.plans))


@frozen
class _Interval:
    expression: str
    rule: Every

    def next(self, slot: datetime, moment: datetime) -> datetime:
        passed = max((moment - slot) // self.rule.step, 0)
        try:
            return slot + (passed + 1) * self.rule.step
        except OverflowError:
            raise _never(self.expression) from None


@frozen
class _Calendar:
    expression: str
    rule: Cron
    zone: ZoneInfo
    walkers: "tuple[croniter[datetime], ...]"  # generic in its stubs only

    def next(self, slot: datetime, moment: datetime) -> datetime:
        after = max(slot, moment).astimezone(UTC).replace(microsecond=0)
        try:
            return self._by_clock(after) if self.rule.follows_clock else self._by_elapsed_time(after)
        except OverflowError:
            raise _never(self.expression) from None

    def _by_clock(self, after: datetime) -> datetime:
        return first_shown(self._wall_after(latest_shown(after, self.zone)), self.zone)

    def _by_elapsed_time(self, moment: datetime) -> datetime:
        wall = wall_at(moment, self.zone)
        while True:
            slot = moment_of(self._wall_after(wall), offset_at(moment, self.zone))
            change = first_change(self.zone, moment, min(slot, moment + _WINDOW))
            if change is not None:
                moment, wall = change, wall_at(change, self.zone) - SECOND
            elif slot <= moment + _WINDOW:
                return slot
            else:  # far off: look again from near by, with the offset that holds there
                moment = slot - _BACK
                wall = wall_at(moment, self.zone)

    def _wall_after(self, wall: datetime) -> datetime:
        found = [ahead for walker in self.walkers if (ahead := _walk(walker, wall)) is not None]
        if not found:
            raise _never(self.expression)
        return min(found)


def _walker(plan: str) -> "croniter[datetime]":
    start = datetime(2000, 1, 1)  # noqa: DTZ001 -- a wall; each search gives its own
    return croniter(plan, start, datetime, day_or=False, max_years_between_matches=SEARCH_YEARS)


def _walk(walker: "croniter[datetime]", wall: datetime) -> datetime | None:
    try:
        return walker.get_next(datetime, wall)
    except (ValueError, OverflowError):  # no date in 50 years, or the end of the calendar
        return None


def _never(expression: str) -> ScheduleError:
    return ScheduleError(f"The schedule {expression!r} never fires: no date fits it.")
