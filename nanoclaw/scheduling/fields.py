"""The fields of a cron expression: checked, and written out as plain numbers.

croniter could read them itself. But it takes `9-9` for every hour, accepts random fields (`R`), and its
errors name no field. So it gets only `*`, sorted numbers and a few marked days.
"""

import re
from collections.abc import Callable

from attrs import frozen

from nanoclaw.scheduling.errors import ScheduleError

_ITEM = re.compile(r"(?:\*|(?P<low>[0-9a-z]+)(?:-(?P<high>[0-9a-z]+))?)(?:/(?P<step>[0-9]+))?")
_WEEKDAY_OF_MONTH = re.compile(r"(?P<day>[0-9a-z]+)#(?P<nth>[1-5])")
_LAST_WEEKDAY = re.compile(r"l(?P<before>[0-7])|(?P<after>[0-7]|[a-z]{3})l")
_NEAREST_WEEKDAY = re.compile(r"(?P<day>[0-9]{1,2})w")


@frozen
class Field:
    """Allowed values of a field: numbers from `low` to `high`, and names for the first of them."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    def number(self, text: str) -> int:
        """Return the number that `text` stands for in this field.

        Raises:
            ScheduleError: it is neither a number nor a name of this field.
        """
        if text in self.names:
            return self.low + self.names.index(text)
        top = 7 if self is WEEKDAY else self.high  # 7 is Sunday too
        if not text.isdecimal() or not self.low <= int(text) <= top:
            named = f" or a name such as {self.names[0]}" if self.names else ""
            raise ScheduleError(f"{text!r} is not a valid {self.name}: write {self.low} to {top}{named}")
        return int(text)


SECOND = Field("second", 0, 59)
MINUTE = Field("minute", 0, 59)
HOUR = Field("hour", 0, 23)
DAY = Field("day of the month", 1, 31)
MONTH = Field(
    "month", 1, 12, ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
)
WEEKDAY = Field("day of the week", 0, 6, ("sun", "mon", "tue", "wed", "thu", "fri", "sat"))


def is_starred(text: str) -> bool:
    """Return whether the field begins with `*` or `?`. Cron treats any other field as named."""
    return text[0] in "*?"


def spell_out(field: Field, text: str) -> str:
    """Return a field, given in lower case, in the form for croniter.

    Raises:
        ScheduleError: the field is invalid.
    """
    if text == "*" or (text == "?" and field in (DAY, WEEKDAY)):
        return "*"
    items = text.split(",")
    marked = [mark for item in items if (mark := _marked(field, item)) is not None]
    plain = {number for item in items if _marked(field, item) is None for number in _numbers(field, item)}
    if plain and marked and marked != ["l"]:
        raise ScheduleError(f"{text!r} in the {field.name} mixes plain days with L, W or #")
    if len(marked) > 1 and field is DAY:
        raise ScheduleError(f"{text!r} in the {field.name} has more than one day with L or W")
    return ",".join([*map(str, sorted(plain)), *marked])


def _numbers(field: Field, item: str) -> list[int]:
    """Return the numbers that `7`, `1-5`, `22-4`, `*/2`, `10/5` or `1-9/2` stands for."""
    match = _ITEM.fullmatch(item)
    if match is None:
        raise ScheduleError(f"{item!r} in the {field.name} is not a number, a range or a step")
    step = _step(field, match["step"])
    if match["low"] is None:
        return list(range(field.low, field.high + 1, step))
    low = field.number(match["low"])
    if match["high"] is None:
        high = field.high if match["step"] else low
        return _folded(field, list(range(low, high + 1, step)))
    return _folded(field, _span(field, low, field.number(match["high"]))[::step])


def _step(field: Field, text: str | None) -> int:
    step, most = int(text or 1), field.high - field.low + 1
    if not 1 <= step <= most:
        raise ScheduleError(
            f"the step {step} in the {field.name} is not within 1 to {most}; for others use @every <seconds>"
        )
    return step


def _span(field: Field, low: int, high: int) -> list[int]:
    if low <= high:
        return list(range(low, high + 1))
    return [*range(low, field.high + 1), *range(field.low, high + 1)]


def _folded(field: Field, numbers: list[int]) -> list[int]:
    return [number % 7 for number in numbers] if field is WEEKDAY else numbers


def _marked(field: Field, item: str) -> str | None:
    """Return a marked day (L, W, #) in croniter's form, or None for a plain item."""
    reader = _READERS.get(field.name)
    return reader(item) if reader else None


def _marked_day(item: str) -> str | None:
    if item == "l":
        return item
    match = _NEAREST_WEEKDAY.fullmatch(item)
    return f"{DAY.number(match['day'])}w" if match else None


def _marked_weekday(item: str) -> str | None:
    if match := _WEEKDAY_OF_MONTH.fullmatch(item):
        return f"{WEEKDAY.number(match['day']) % 7}#{match['nth']}"
    if match := _LAST_WEEKDAY.fullmatch(item):
        return f"l{WEEKDAY.number(match['before'] or match['after']) % 7}"
    return None


_READERS: dict[str, Callable[[str], str | None]] = {DAY.name: _marked_day, WEEKDAY.name: _marked_weekday}
