"""Finds the slots of a schedule in a time zone.

croniter walks only naive local time. Its own support for zones fires a fixed hour twice in autumn, and at
wrong times in the spring gap. So this module handles the jumps of local time.
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
"""Years to search. The rarest date, 29 February on a given weekday, comes after 40 years at most."""

_WINDOW = timedelta(days=3)
_BACK = timedelta(days=1.5)
"""Two offsets differ by at most 26 hours. So no jump reaches local times further away than this."""


class Timetable(Protocol):
    """The slots of one schedule in one time zone."""

    def next(self, slot: datetime, moment: datetime) -> datetime:
        """Return the first slot after both `moment` and the slot `slot`.

        Raises:
            ScheduleError: it does not fire within 50 years, or before the year 10000.
        """
        ...

    def after(self, slot: datetime, moment: datetime) -> datetime:
        """Return the first slot after `moment`, which may be before the slot `slot`.

        Raises:
            ScheduleError: it does not fire within 50 years, or before the year 10000.
        """
        ...


def timetable(expression: str, zone: ZoneInfo | str) -> Timetable:
    """Parse a schedule for a time zone. Use the result in one thread only: croniter keeps state.

    Raises:
        ScheduleError: the schedule or the zone is invalid.
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
        return self.after(slot, max(slot, moment))

    def after(self, slot: datetime, moment: datetime) -> datetime:
        passed = (moment - slot) // self.rule.step
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
        return self.after(slot, max(slot, moment))

    def after(self, slot: datetime, moment: datetime) -> datetime:
        del slot  # a calendar has the same slots for every series
        after = moment.astimezone(UTC).replace(microsecond=0)
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
            else:  # far away: search again from nearby, with the offset that applies there
                moment = slot - _BACK
                wall = wall_at(moment, self.zone)

    def _wall_after(self, wall: datetime) -> datetime:
        found = [ahead for walker in self.walkers if (ahead := _walk(walker, wall)) is not None]
        if not found:
            raise _never(self.expression)
        return min(found)


def _walker(plan: str) -> "croniter[datetime]":
    start = datetime(2000, 1, 1)  # noqa: DTZ001 -- naive local time; each search passes its own start
    return croniter(plan, start, datetime, day_or=False, max_years_between_matches=SEARCH_YEARS)


def _walk(walker: "croniter[datetime]", wall: datetime) -> datetime | None:
    try:
        return walker.get_next(datetime, wall)
    except (ValueError, OverflowError):  # no date within 50 years, or after the year 9999
        return None


def _never(expression: str) -> ScheduleError:
    return ScheduleError(f"The schedule {expression!r} never fires: no date matches it.")
