"""How times are written in the databases (contract 3)."""

from datetime import UTC, datetime


def to_text(moment: datetime) -> str:
    """An aware time as contract text: UTC, ISO 8601, milliseconds, `Z`.

    Raises:
        ValueError: `moment` has no zone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no zone; times are aware here")
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def as_stored(moment: datetime | None) -> datetime | None:
    """What a moment is once it is written and read again: whole milliseconds, so never later."""
    return moment and moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def from_text(text: str) -> datetime:
    """The aware UTC time that a text means: our spelling, or `YYYY-MM-DD HH:MM:SS` (no zone = UTC).

    Raises:
        ValueError: it is neither.
    """
    moment = datetime.fromisoformat(text)
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{text!r} is outside the years 1 to 9999") from error
