"""Times as text in the databases (contract 3)."""

from datetime import UTC, datetime


def to_text(moment: datetime) -> str:
    """Return an aware time as contract text: UTC, ISO 8601, milliseconds, `Z`.

    Raises:
        ValueError: `moment` has no time zone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone; pass an aware datetime")
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def as_stored(moment: datetime | None) -> datetime | None:
    """Return the time as the store returns it: truncated to milliseconds, so never later."""
    return moment and moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def from_text(text: str) -> datetime:
    """Return a stored time as aware UTC. It reads our format and `YYYY-MM-DD HH:MM:SS` (no zone = UTC).

    Raises:
        ValueError: the text has neither format.
    """
    moment = datetime.fromisoformat(text)
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{text!r} is outside the years 1 to 9999") from error


def from_text_or_none(text: object) -> datetime | None:
    """Return a time that another program may have stored, or None if it is none."""
    try:
        return from_text(text) if isinstance(text, str) and text else None
    except ValueError:
        return None
