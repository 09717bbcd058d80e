"""Times in the session files (contract 3): ISO 8601 with milliseconds and `Z`; foreign ones have a space."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo


def to_text(moment: datetime) -> str:
    """Return the contract text of an aware moment."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def from_text(text: str) -> datetime:
    """Read either spelling; a time without a zone is UTC. Raises ValueError for anything else."""
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def from_text_or(text: object, default: datetime) -> datetime:
    """Read a time of a row of another writer. Return `default` if it is empty or not a time."""
    try:
        return from_text(text) if isinstance(text, str) and text else default
    except (ValueError, OverflowError):
        return default


_NUMBER = r"[0-9]{1,9}(?:\.[0-9]{1,3})?"
_UNITS = {
    "weeks": r"w(?:eeks?)?",
    "days": r"d(?:ays?)?",
    "hours": r"h(?:rs?|ours?)?",
    "minutes": r"m(?:in|ins|inutes?)?",
    "seconds": r"s(?:ec|ecs|econds?)?",
}
_DURATION = re.compile(
    r"\s*".join(rf"(?:(?P<{name}>{_NUMBER})\s*{unit})?" for name, unit in _UNITS.items()),
    re.ASCII | re.IGNORECASE,
)


def duration(text: str) -> timedelta | None:
    """Read numbers with units, such as `1h30m`, the largest unit first. Return None for anything else."""
    match = _DURATION.fullmatch(text.strip())
    parts = {name: float(value) for name, value in match.groupdict().items() if value} if match else {}
    try:
        return timedelta(**parts) if parts else None
    except OverflowError:
        return None


def to_zone(name: str) -> ZoneInfo:
    """Return an IANA zone by its name. Raises ValueError if there is no such zone."""
    try:
        return ZoneInfo(name)
    except (ValueError, KeyError, OSError) as error:
        raise ValueError(f"{name!r} is not a zone such as Europe/Berlin") from error


def to_local(moment: datetime, zone: str) -> str:
    """Format a moment for people in a zone, or in UTC if there is no such zone."""
    try:
        return f"{moment.astimezone(to_zone(zone)):%Y-%m-%d %H:%M:%S} ({zone} local time)"
    except (ValueError, OverflowError):
        return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} (UTC)"
