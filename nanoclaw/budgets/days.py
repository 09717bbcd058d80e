"""The days of budgets: those of the user's zone. Pure functions."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from nanoclaw.scheduling.zones import first_shown


def day_of(now: datetime, zone: ZoneInfo) -> str:
    """Return the day at a moment, as YYYY-MM-DD."""
    return now.astimezone(zone).date().isoformat()


def next_day(now: datetime, zone: ZoneInfo) -> datetime:
    """Return the first moment of the next day, in UTC. Where midnight is left out, that is after the gap."""
    tomorrow = now.astimezone(zone).date() + timedelta(days=1)
    moment = first_shown(datetime.combine(tomorrow, time()), zone).astimezone(UTC)
    while moment <= now:  # midnight comes twice, and the first one is past
        moment += timedelta(hours=1)
    return moment
