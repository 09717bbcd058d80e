"""Times in the session files (contract 3): ISO 8601 with milliseconds and `Z`; foreign ones have a space."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo


def to_text(moment: datetime) -> str:
    """Contract text for an aware moment."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def from_text(text: str) -> datetime:
    """Read either spelling; without a zone it is UTC. Raises ValueError for anything else."""
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def from_text_or(text: object, default: datetime) -> datetime:
    """Read a time of a row somebody else wrote; `default` where it is empty or no time."""
    try:
        return from_text(text) if isinstance(text, str) and text else default
    except (ValueError, OverflowError):
        return default


def to_zone(name: str) -> ZoneInfo:
    """An IANA zone by its name. Raises ValueError, whatever the name."""
    try:
        return ZoneInfo(name)
    except (ValueError, KeyError, OSError) as error:
        raise ValueError(f"{name!r} is not a zone such as Europe/Berlin") from error


def to_local(moment: datetime, zone: str) -> str:
    """A moment for people, in a zone; in UTC where that is none."""
    try:
        return f"{moment.astimezone(to_zone(zone)):%Y-%m-%d %H:%M:%S} ({zone} local time)"
    except (ValueError, OverflowError):
        return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} (UTC)"
