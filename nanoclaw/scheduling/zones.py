"""Local time: which moments a clock on the wall shows, when, and where it jumps.

Moments are UTC; *walls* are naive: what the clock shows. Both are whole seconds, as all jumps are.
"""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from nanoclaw.scheduling.errors import ScheduleError

SECOND = timedelta(seconds=1)
_HOP = timedelta(hours=1)
"""No zone has jumped twice within so short a time."""


def zone_of(zone: ZoneInfo | str) -> ZoneInfo:
    """The zone of this IANA name.

    Raises:
        ScheduleError: there is none.
    """
    if isinstance(zone, ZoneInfo):
        return zone
    try:
        return ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ScheduleError(f"{zone!r} is no IANA time zone such as Europe/Berlin.") from None


def wall_at(moment: datetime, zone: ZoneInfo) -> datetime:
    """What the clock shows."""
    return moment.astimezone(zone).replace(tzinfo=None, fold=0)


def moment_of(wall: datetime, offset: timedelta) -> datetime:
    """The moment at which a clock that is `offset` ahead of UTC shows `wall`."""
    return (wall - offset).replace(tzinfo=UTC)


def offset_at(moment: datetime, zone: ZoneInfo) -> timedelta:
    """How far the clock is ahead of UTC."""
    return moment.astimezone(zone).utcoffset() or timedelta(0)


def first_change(zone: ZoneInfo, start: datetime, end: datetime) -> datetime | None:
    """The first moment after `start`, and not after `end`, with another offset than at `start`."""
    before = offset_at(start, zone)
    while start < end:
        hop = min(start + _HOP, end)
        if offset_at(hop, zone) != before:
            return _bisect(zone, start, hop)
        start = hop
    return None


def _bisect(zone: ZoneInfo, low: datetime, high: datetime) -> datetime:
    """The moment in (low, high] at which the offset changes, given that it does."""
    before = offset_at(low, zone)
    while high - low > SECOND:
        middle = low + (high - low) // (2 * SECOND) * SECOND
        low, high = (middle, high) if offset_at(middle, zone) == before else (low, middle)
    return high


def first_shown(wall: datetime, zone: ZoneInfo) -> datetime:
    """The first moment at which the clock shows `wall` or, where it jumps over it, something later."""
    first, second = (wall.replace(tzinfo=zone, fold=fold).utcoffset() or timedelta(0) for fold in (0, 1))
    moment = moment_of(wall, first)
    if second <= first:
        return moment
    # In a gap, fold=0 counts with the offset before it, and so lands behind the jump (PEP 495).
    return first_change(zone, moment_of(wall, second), moment) or moment


def latest_shown(moment: datetime, zone: ZoneInfo) -> datetime:
    """The latest wall that the clock has shown until `moment`: in a repeated hour, that hour's last."""
    local = moment.astimezone(zone)
    if local.fold == 0:
        return local.replace(tzinfo=None)
    before = local.replace(fold=0).astimezone(UTC)
    change = first_change(zone, before, moment) or moment
    return (change + offset_at(before, zone) - SECOND).replace(tzinfo=None)
