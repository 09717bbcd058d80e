"""Parses a schedule: `@every`, or a cron expression that croniter can walk."""

from datetime import timedelta

from attrs import frozen

from nanoclaw.scheduling.durations import duration, seconds
from nanoclaw.scheduling.errors import ScheduleError
from nanoclaw.scheduling.fields import DAY, HOUR, MINUTE, MONTH, SECOND, WEEKDAY, is_starred, spell_out

MAX_LENGTH = 512
"""Limit in characters. A list of every minute and every second needs about 450."""

ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

EVERY = "@every"


@frozen
class Every:
    """`@every`: each slot comes `step` after the previous one."""

    step: timedelta


@frozen
class Cron:
    """A cron expression. It fires at the slots of all its plans."""

    plans: tuple[str, ...]
    """Expressions for croniter: six fields, seconds last. A time must match all fields of a plan."""
    follows_clock: bool
    """True if minute and hour are both named: it follows local time, and not elapsed time."""


def parse(expression: str) -> Every | Cron:
    """Parse a schedule. This does not check that it ever fires.

    Raises:
        ScheduleError: it is invalid. The sentence names the schedule and the mistake.
    """
    if len(expression) > MAX_LENGTH:
        raise ScheduleError(f"The schedule {expression[:20]!r}… is longer than {MAX_LENGTH} characters.")
    try:
        return _parse(expression.strip().lower())
    except ScheduleError as error:
        raise ScheduleError(f"The schedule {expression!r} is invalid: {error}.") from None


def canonical(expression: str) -> str:
    """Return a schedule as the contract's columns have it: a duration becomes `@every <seconds>`.

    Raises:
        ScheduleError: it is invalid.
    """
    rule = parse(expression)
    if isinstance(rule, Every):
        return f"{EVERY} {rule.step.total_seconds():.3f}".rstrip("0").removesuffix(".")
    return expression.strip()


def _parse(text: str) -> Every | Cron:
    if not text.isascii():
        raise ScheduleError("it has characters other than ASCII")
    if text.startswith(EVERY):
        return _every(text.removeprefix(EVERY))
    if (step := duration(text)) is not None:
        return _interval(step)
    if text.startswith("@") and text not in ALIASES:
        raise ScheduleError(f"the aliases are {', '.join(ALIASES)} and {EVERY} <duration>")
    fields = ALIASES.get(text, text).split()
    if len(fields) not in (5, 6):
        raise ScheduleError(
            f"it has {len(fields)} fields; write five, or six with the seconds first, "
            "or a duration such as 5m"
        )
    return _cron(fields if fields[5:] else ["0", *fields])


def _every(text: str) -> Every:
    without_unit = seconds(text)
    step = duration(text) if without_unit is None else without_unit
    if step is None or not text[:1].isspace():
        raise ScheduleError(
            f"{EVERY} needs a number of seconds below 1000000000, such as 90, "
            "or a duration such as 5m or 1h30m"
        )
    return _interval(step)


def _interval(step: timedelta) -> Every:
    if step < timedelta(seconds=1):
        raise ScheduleError("it fires more than once a second; the shortest interval is 1 s")
    return Every(step)


def _cron(fields: list[str]) -> Cron:
    second, minute, hour, day, month, weekday = fields
    days, weekdays = spell_out(DAY, day), spell_out(WEEKDAY, weekday)
    # A marked day in one field would make croniter require both fields, so each field gets its own plan.
    either = not is_starred(day) and not is_starred(weekday)
    pairs = [(days, "*"), ("*", weekdays)] if either else [(days, weekdays)]
    seconds, minutes, hours = spell_out(SECOND, second), spell_out(MINUTE, minute), spell_out(HOUR, hour)
    months = spell_out(MONTH, month)
    return Cron(
        plans=tuple(f"{minutes} {hours} {one} {months} {other} {seconds}" for one, other in pairs),
        follows_clock=not is_starred(minute) and not is_starred(hour),
    )
