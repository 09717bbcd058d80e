"""The definition of schedules, evaluated minute by minute, and generators of schedules, zones and times."""

import calendar
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from random import Random
from zoneinfo import ZoneInfo

from attrs import field, frozen

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")

ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",  # its gap began at midnight
    "America/St_Johns",  # jumped at 00:01
    "Australia/Lord_Howe",  # half an hour
    "Africa/Casablanca",  # four jumps a year, with Ramadan
    "Antarctica/Troll",  # two hours
    "Asia/Kathmandu",
    "Pacific/Apia",  # left out 2011-12-30
    "Pacific/Kwajalein",  # left out 1993-08-21
    "UTC",
)


@frozen
class Part:
    """A field as text, and the numbers it stands for. `mark` is for days that no number describes."""

    text: str
    numbers: frozenset[int] = field(repr=False)
    mark: tuple[str, int, int] | None = None

    @property
    def starred(self) -> bool:
        return self.text[0] in "*?"


@frozen
class Schedule:
    second: Part | None
    minute: Part
    hour: Part
    day: Part
    month: Part
    weekday: Part

    @property
    def text(self) -> str:
        parts = (self.second, self.minute, self.hour, self.day, self.month, self.weekday)
        return " ".join(part.text for part in parts if part)

    @property
    def follows_clock(self) -> bool:
        return not self.minute.starred and not self.hour.starred

    def fits(self, wall: datetime) -> bool:
        """Return whether the expression matches this local time."""
        return (
            wall.minute in self.minute.numbers
            and wall.hour in self.hour.numbers
            and wall.second in (self.second.numbers if self.second else (0,))
            and wall.month in self.month.numbers
            and self._fits_date(wall.date())
        )

    def _fits_date(self, day: date) -> bool:
        fits_day = day.day in self.day.numbers or _is_marked_day(self.day.mark, day)
        fits_weekday = day.isoweekday() % 7 in self.weekday.numbers or _is_marked_weekday(
            self.weekday.mark, day
        )
        if self.day.starred or self.weekday.starred:
            return fits_day and fits_weekday
        return fits_day or fits_weekday


def _is_marked_day(mark: tuple[str, int, int] | None, day: date) -> bool:
    last = calendar.monthrange(day.year, day.month)[1]
    match mark:
        case ("L", _, _):
            return day.day == last
        case ("W", wanted, _):
            month = [day.replace(day=number) for number in range(1, last + 1)]
            working = [one for one in month if one.isoweekday() < 6]
            wanted = min(wanted, last)
            return day == min(working, key=lambda one: abs(one.day - wanted))
        case _:
            return False


def _is_marked_weekday(mark: tuple[str, int, int] | None, day: date) -> bool:
    last = calendar.monthrange(day.year, day.month)[1]
    match mark:
        case ("#", weekday, nth):
            return day.isoweekday() % 7 == weekday and (day.day + 6) // 7 == nth
        case ("L", weekday, _):
            return day.isoweekday() % 7 == weekday and day.day + 7 > last
        case _:
            return False


def slots(schedule: Schedule, zone: ZoneInfo, start: datetime, end: datetime) -> Iterator[datetime]:
    """Return all slots after `start` up to `end`, by checking every minute or second."""
    step = SECOND if schedule.second else MINUTE
    moment = start.replace(microsecond=0) if schedule.second else start.replace(second=0, microsecond=0)
    before = (moment - SECOND - number * MINUTE for number in range(4 * 60))  # no fold is longer here
    shown = max(_wall(earlier, zone) for earlier in before)  # the latest time that the clock has shown yet
    while moment <= end:
        wall = _wall(moment, zone)
        if schedule.follows_clock:
            fits = any(schedule.fits(new) for new in _walls(shown, wall, step))
            shown = max(shown, wall)
        else:
            fits = schedule.fits(wall)
        if fits and moment > start:
            yield moment
        moment += step


def _wall(moment: datetime, zone: ZoneInfo) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None, fold=0)


def _walls(shown: datetime, wall: datetime, step: timedelta) -> Iterator[datetime]:
    new = max(shown.replace(second=0) if step == MINUTE else shown, wall - timedelta(days=2)) + step
    while new <= wall:
        yield new
        new += step


@cache
def jumps(zone: str) -> tuple[datetime, ...]:
    """Return the hours in which this zone's clock jumped."""
    info, found = ZoneInfo(zone), []
    hour, end = datetime(1975, 1, 1, tzinfo=UTC), datetime(2040, 1, 1, tzinfo=UTC)
    while hour < end:
        day = hour + timedelta(days=1)
        if hour.astimezone(info).utcoffset() != day.astimezone(info).utcoffset():
            hours = [hour + timedelta(hours=number) for number in range(25)]
            offsets = [one.astimezone(info).utcoffset() for one in hours]
            found += [one for one, a, b in zip(hours, offsets, offsets[1:], strict=False) if a != b]
        hour = day
    return tuple(found)


def some_moment(random: Random, zone: str) -> datetime:
    """Generate a time of the last or next decades, often a few hours before or after a jump."""
    if jumps(zone) and random.random() < 0.75:
        near = random.choice(jumps(zone)) + timedelta(seconds=random.randint(-100_000, 20_000))
    else:
        near = datetime(1976, 1, 1, tzinfo=UTC) + timedelta(seconds=random.randint(0, 3_000_000_000))
    return near.replace(second=random.choice((0, near.second)), microsecond=random.choice((0, 0, 1, 500_000)))


def some_schedule(random: Random, *, seconds: bool = False, common: bool = False) -> Schedule:
    """Generate a schedule that mostly fires within days. `common` means that both libraries agree on it."""
    make = _Maker(random, wraps=not common)
    day = [lambda: make.part(1, 31), lambda: make.marked_day(nearest=not common)]
    weekday = [lambda: make.part(0, 6, DAYS), make.marked_weekday]
    return Schedule(
        second=make.part(0, 59) if seconds else None,
        minute=make.part(0, 59),
        hour=make.part(0, 23),
        day=make.rarely(random.choice(day)),
        month=make.rarely(lambda: make.part(1, 12, MONTHS)),
        weekday=make.rarely(random.choice(weekday)),
    )


@frozen
class _Maker:
    random: Random
    wraps: bool

    def rarely(self, part: Callable[[], Part]) -> Part:
        return part() if self.random.random() < 0.25 else Part("*", frozenset(range(60)))

    def part(self, low: int, high: int, names: tuple[str, ...] = ()) -> Part:
        items = [self._item(low, high, names) for _ in range(self.random.choice((1, 1, 1, 2, 3)))]
        return Part(
            ",".join(text for text, _ in items), frozenset(n for _, numbers in items for n in numbers)
        )

    def marked_day(self, *, nearest: bool) -> Part:
        number = self.random.randint(1, 31)
        choices = [Part("L", frozenset(), ("L", 0, 0)), Part(f"{number},L", frozenset([number]), ("L", 0, 0))]
        if nearest:
            choices.append(Part(f"{number}W", frozenset(), ("W", number, 0)))
        return self.random.choice(choices)

    def marked_weekday(self) -> Part:
        day, nth = self.random.randint(0, 6), self.random.randint(1, 5)
        choices = (
            Part(f"{day}#{nth}", frozenset(), ("#", day, nth)),
            Part(f"{day}L", frozenset(), ("L", day, 0)),
        )
        return self.random.choice(choices)

    def _item(self, low: int, high: int, names: tuple[str, ...]) -> tuple[str, list[int]]:
        number, step = self.random.randint(low, high), self.random.randint(1, high - low + 1)
        match self.random.choice(("*", "*/", "n", "n", "n", "-", "-/", "n/")):
            case "*":
                return "*", list(range(low, high + 1))
            case "*/":
                return f"*/{step}", list(range(low, high + 1))[::step]
            case "n/" if not names:  # 1/3 in the weekdays: does it reach Sunday, 7? The libraries differ.
                return f"{number}/{step}", list(range(number, high + 1))[::step]
            case "-":
                return self._span(low, high, names)
            case "-/":
                text, numbers = self._span(low, high, names)
                return f"{text}/{step}", numbers[::step]
            case _:
                return self._say(number, low, names), [number]

    def _span(self, low: int, high: int, names: tuple[str, ...]) -> tuple[str, list[int]]:
        first, last = self.random.randint(low, high), self.random.randint(low, high)
        if first >= last and not self.wraps:  # the other library reads 5-5/2 as 5/2
            first, last = min(last, high - 1), min(first + 1, high)
        ring = list(range(low, high + 1))
        numbers = [ring[(first - low + n) % len(ring)] for n in range((last - first) % len(ring) + 1)]
        return f"{self._say(first, low, names)}-{self._say(last, low, names)}", numbers

    def _say(self, number: int, low: int, names: tuple[str, ...]) -> str:
        return names[number - low] if names and self.random.random() < 0.5 else str(number)
