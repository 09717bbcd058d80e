"""Slots by the clock on the wall: what the check of workloads takes for one, and what for none."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from nanoclaw.scheduling import next_run
from nanoclaw.simulation.checks.schedules import fits

BERLIN, NEW_YORK, LORD_HOWE = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"
SCHEDULES = ("30 2 * * *", "*/20 * * * *", "0 * * * *", "@daily", "@hourly", "@every 900")
ZONES = (BERLIN, NEW_YORK, LORD_HOWE, "Asia/Kolkata", "America/St_Johns", "UTC")
CHANGES = ("2026-03-28", "2026-10-24", "2026-03-07", "2026-10-31", "2026-04-04", "2026-10-03")


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_each_slot_of_the_days_around_a_change_fits(schedule: str, zone: str) -> None:
    for day in CHANGES:
        began = slot = next_run(schedule, datetime.fromisoformat(f"{day}T00:00:00Z"), zone)
        while (slot - began).days < 2:
            assert fits(schedule, slot, began, ZoneInfo(zone)), f"{slot} in {zone}"
            slot = next_run(schedule, slot, zone)


@pytest.mark.parametrize(
    ("schedule", "zone", "slot", "is_one"),
    [
        ("30 2 * * *", BERLIN, "2026-03-28T01:30:00", True),
        ("30 2 * * *", BERLIN, "2026-03-28T02:30:00", False),  # as if it were read in UTC
        ("30 2 * * *", BERLIN, "2026-03-29T01:00:00", True),  # right behind the gap
        ("30 2 * * *", BERLIN, "2026-03-29T01:30:00", False),
        ("30 2 * * *", BERLIN, "2026-10-25T00:30:00", True),
        ("30 2 * * *", BERLIN, "2026-10-25T01:30:00", False),  # the second time
        ("30 3 * * *", BERLIN, "2026-03-29T01:00:00", False),  # a gap that does not reach it
        ("0 * * * *", BERLIN, "2026-10-25T01:00:00", True),  # each hour, both times
        ("*/20 * * * *", "America/St_Johns", "2026-01-01T00:20:00", False),
        ("*/20 * * * *", "America/St_Johns", "2026-01-01T00:10:00", True),
        ("@daily", NEW_YORK, "2026-01-01T05:00:00", True),
        ("@daily", NEW_YORK, "2026-01-01T00:00:00", False),
        ("30 2 * * *", BERLIN, "2026-03-28T01:30:01", False),
        ("@every 60", "UTC", "2026-01-01T00:01:30", False),
    ],
)
def test_a_moment_is_a_slot_or_is_none(schedule: str, zone: str, slot: str, *, is_one: bool) -> None:
    began = datetime(2026, 1, 1, tzinfo=UTC)
    assert fits(schedule, datetime.fromisoformat(f"{slot}Z"), began, ZoneInfo(zone)) == is_one
