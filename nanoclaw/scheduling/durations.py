"""Reads durations such as `5m` or `1h30m`, and numbers of seconds."""

import re
from datetime import timedelta

_NUMBER = r"[0-9]{1,9}(?:\.[0-9]{1,3})?"
_UNITS = {
    "weeks": r"w(?:eeks?)?",
    "days": r"d(?:ays?)?",
    "hours": r"h(?:rs?|ours?)?",
    "minutes": r"m(?:in|ins|inutes?)?",
    "seconds": r"s(?:ec|ecs|econds?)?",
}
_DURATION = re.compile(
    r"\s*".join(rf"(?:(?P<{name}>{_NUMBER})\s*{unit})?" for name, unit in _UNITS.items()), re.ASCII
)
LONGEST = timedelta(seconds=1_000_000_000)
"""Durations are shorter than this, about 31 years."""


def duration(text: str) -> timedelta | None:
    """Read numbers with units from weeks to seconds, the largest unit first. Return None for anything else.

    A duration of `LONGEST` or more is None, too.
    """
    match = _DURATION.fullmatch(text.strip())
    parts = {name: float(value) for name, value in match.groupdict().items() if value} if match else {}
    try:
        return _short(timedelta(**parts)) if parts else None
    except OverflowError:
        return None


def seconds(text: str) -> timedelta | None:
    """Read a number of seconds without a unit, such as `90` or `1.5`. Return None for anything else."""
    return _short(timedelta(seconds=float(text))) if re.fullmatch(_NUMBER, text.strip()) else None


def _short(length: timedelta) -> timedelta | None:
    return length if length < LONGEST else None
