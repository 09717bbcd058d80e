"""Local time: conversion to and from UTC, and the times at which the offset changes.

A *moment* is UTC. A *wall* is naive local time, as a clock on the wall shows it. Both are whole seconds,
because every jump is at a whole second.
"""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from nanoclaw.scheduling.errors import ScheduleError

SECOND = timedelta(seconds=1)
_HOP = timedelta(hours=1)
"""No zone has changed its offset twice within this time."""


def zone_of(zone: ZoneInfo | str) -> ZoneInfo:
    """Return the time zone with this IANA name.

    Raises:
        ScheduleError: no zone has this name.
    """
    if isinstance(zone, ZoneInfo):
        return zone
    try:
        return ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ScheduleError(
            f"{zone!r} is not a time zone; write an IANA name such as Europe/Berlin."
        ) from None


def wall_at(moment: datetime, zone: ZoneInfo) -> datetime:
    """Return the local time at a moment."""
    return moment.astimezone(zone).replace(tzinfo=None, fold=0)


def moment_of(wall: datetime, offset: timedelta) -> datetime:
    """Return the moment at which a clock with this offset from UTC shows `wall`."""
    return (wall - offset).replace(tzinfo=UTC)


def offset_at(moment: datetime, zone: ZoneInfo) -> timedelta:
    """Return the offset of local time from UTC at a moment."""
    return moment.astimezone(zone).utcoffset() or timedelta(0)


def first_change(zone: ZoneInfo, start: datetime, end: datetime) -> datetime | None:
    """Return the first moment after `start`, up to `end`, whose offset differs from that at `start`."""
    before = offset_at(start, zone)
    while start < end:
        hop = min(start + _HOP, end)
        if offset_at(hop, zone) != before:
            return _bisect(zone, start, hop)
        start = hop
    return None


def _bisect(zone: ZoneInfo, low: datetime, high: datetime) -> datetime:
    """Return the moment in (low, high] at which the offset changes. It must change in there."""
    before = offset_at(low, zone)
    while high - low > SECOND:
        middle = low + (high - low) // (2 * SECOND) * SECOND
        low, high = (middle, high) if offset_at(middle, zone) == before else (low, middle)
    return high


def first_shown(wall: datetime, zone: ZoneInfo) -> datetime:
    """Return the first moment at which the clock shows `wall`, or shows a later time after a gap."""
    first, second = (wall.replace(tzinfo=zone, fold=fold).utcoffset() or timedelta(0) for fold in (0, 1))
    moment = moment_of(wall, first)
    if second <= first:
        return moment
    # In a gap, fold=0 uses the offset before the gap, and so gives a moment after the jump (PEP 495).
    return first_change(zone, moment_of(wall, second), moment) or moment


def latest_shown(moment: datetime, zone: ZoneInfo) -> datetime:
    """Return the latest local time shown until `moment`. In a repeated hour that is the end of the hour."""
    local = moment.astimezone(zone)
    if local.fold == 0:
        return local.replace(tzinfo=None)
    before = local.replace(fold=0).astimezone(UTC)
    change = first_change(zone, before, moment) or moment
    return (change + offset_at(before, zone) - SECOND).replace(tzinfo=None)
