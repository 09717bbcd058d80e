"""The promises of `next_run` and `check`, by examples that a person can verify."""

from datetime import UTC, datetime, timedelta
from time import process_time
from zoneinfo import ZoneInfo

import pytest

from nanoclaw.scheduling import ScheduleError, canonical, check, next_run, slot_after

BERLIN, NEW_YORK, LORD_HOWE, APIA = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"


def local_slots(expression: str, after: str, zone: str, number: int) -> list[str]:
    """Return the next slots after a local time, as local day, time and offset."""
    moment, found = datetime.fromisoformat(after).replace(tzinfo=ZoneInfo(zone)), list[str]()
    for _ in range(number):
        moment = next_run(expression, moment, zone)
        found.append(f"{moment.astimezone(ZoneInfo(zone)):%d %H:%M %z}")
    return found


def test_a_time_that_the_clock_skips_fires_once_right_after_the_gap() -> None:
    assert local_slots("30 2 * * *", "2026-03-28 03:00", BERLIN, 2) == ["29 03:00 +0200", "30 02:30 +0200"]
    assert local_slots("30 2 * * *", "2026-03-07 03:00", NEW_YORK, 2) == ["08 03:00 -0400", "09 02:30 -0400"]
    assert local_slots("15 2 * * *", "2026-10-03 03:00", LORD_HOWE, 2) == ["04 02:30 +1100", "05 02:15 +1100"]


def test_all_times_in_a_gap_are_one_slot() -> None:
    assert local_slots("0,20,40 1-3 * * *", "2026-03-29 01:30", BERLIN, 4) == [
        "29 01:40 +0100",
        "29 03:00 +0200",
        "29 03:20 +0200",
        "29 03:40 +0200",
    ]


def test_a_time_that_the_clock_shows_twice_fires_the_first_time() -> None:
    assert local_slots("30 2 * * *", "2026-10-24 03:00", BERLIN, 2) == ["25 02:30 +0200", "26 02:30 +0100"]
    assert local_slots("30 1 * * *", "2026-10-31 03:00", NEW_YORK, 2) == ["01 01:30 -0400", "02 01:30 -0500"]
    assert local_slots("45 1 * * *", "2026-04-04 03:00", LORD_HOWE, 2) == ["05 01:45 +1100", "06 01:45 +1030"]


def test_a_repeated_hour_does_not_fire_again() -> None:
    second_pass = datetime(2026, 10, 25, 1, 10, tzinfo=UTC)  # 02:10 again
    assert next_run("30 2 * * *", second_pass, BERLIN) == datetime(2026, 10, 26, 1, 30, tzinfo=UTC)
    assert next_run("0-59 2,3 * * *", second_pass, BERLIN) == datetime(2026, 10, 25, 2, tzinfo=UTC)


def test_a_date_skipped_by_a_zone_has_its_slot_right_after_it() -> None:
    assert local_slots("0 9 * * *", "2011-12-28 12:00", APIA, 3) == [
        "29 09:00 -1000",
        "31 00:00 +1400",
        "31 09:00 +1400",
    ]


def test_an_hourly_schedule_follows_elapsed_time() -> None:
    assert local_slots("0 * * * *", "2026-03-29 00:30", BERLIN, 3) == [
        "29 01:00 +0100",
        "29 03:00 +0200",
        "29 04:00 +0200",
    ]
    assert local_slots("@hourly", "2026-10-25 01:30", BERLIN, 3) == [
        "25 02:00 +0200",
        "25 02:00 +0100",
        "25 03:00 +0100",
    ]


def test_minutes_left_open_fire_in_both_passes_of_an_hour_and_not_in_a_gap() -> None:
    assert local_slots("*/30 2 * * *", "2026-10-25 01:30", BERLIN, 5) == [
        "25 02:00 +0200",
        "25 02:30 +0200",
        "25 02:00 +0100",
        "25 02:30 +0100",
        "26 02:00 +0100",
    ]
    assert local_slots("*/30 2 * * *", "2026-03-28 02:30", BERLIN, 1) == ["30 02:00 +0200"]


def test_half_an_hour_is_repeated_on_lord_howe() -> None:
    assert local_slots("*/15 * * * *", "2026-04-05 01:20", LORD_HOWE, 6) == [
        "05 01:30 +1100",
        "05 01:45 +1100",
        "05 01:30 +1030",
        "05 01:45 +1030",
        "05 02:00 +1030",
        "05 02:15 +1030",
    ]


def test_the_first_of_six_fields_is_seconds() -> None:
    after = datetime(2026, 1, 1, tzinfo=UTC)
    assert next_run("15 30 9 * * *", after, "UTC") == datetime(2026, 1, 1, 9, 30, 15, tzinfo=UTC)
    assert next_run("*/20 * * * * *", after, "UTC") == datetime(2026, 1, 1, 0, 0, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "slot"),
    [
        ("@hourly", "2026-01-01T13:00Z"),
        ("@daily", "2026-01-02T00:00Z"),
        ("@midnight", "2026-01-02T00:00Z"),
        ("@weekly", "2026-01-04T00:00Z"),
        ("@monthly", "2026-02-01T00:00Z"),
        ("@yearly", "2027-01-01T00:00Z"),
        (" @Annually ", "2027-01-01T00:00Z"),
        ("0 9 * * MON-fri", "2026-01-02T09:00Z"),
        ("0 9 * * 7", "2026-01-04T09:00Z"),
        ("0 9 * * fri-mon", "2026-01-02T09:00Z"),
        ("0 22-4 * * *", "2026-01-01T22:00Z"),
        ("0 9-9 * * *", "2026-01-02T09:00Z"),
        ("0 0 L * ?", "2026-01-31T00:00Z"),
        ("0 0 15W 2 *", "2026-02-16T00:00Z"),
        ("0 0 * * 5#2", "2026-01-09T00:00Z"),
        ("0 0 * * friL", "2026-01-30T00:00Z"),
        ("0 0 * * L5", "2026-01-30T00:00Z"),
        ("0 0 29 2 *", "2028-02-29T00:00Z"),
        ("0 0 29 2 */7", "2032-02-29T00:00Z"),
    ],
)
def test_expressions_are_read_as_documented(expression: str, slot: str) -> None:
    after = datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert next_run(expression, after, "UTC") == datetime.fromisoformat(slot)


@pytest.mark.parametrize(
    ("days", "slot"),
    [
        ("13 * 5", 2),  # both named: either, so Friday the 2nd
        ("13 * */1", 13),  # a star: both
        ("*/12 * 2", 13),  # a star: both, so the Tuesday among 1, 13, 25
        ("12 * 5#2", 9),  # a marked day is a named one
        ("L * 5#2", 9),
        ("15W * 5#4", 15),
    ],
)
def test_if_both_day_fields_are_restricted_either_may_match(days: str, slot: int) -> None:
    after = datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert next_run(f"0 0 {days}", after, "UTC") == datetime(2026, 1, slot, tzinfo=UTC)


def test_every_counts_from_the_previous_slot_and_ignores_the_wall_clock() -> None:
    slot = datetime(2026, 3, 29, 0, 59, 59, 250_000, tzinfo=UTC)
    assert next_run("@every 90", slot, BERLIN) == slot + timedelta(seconds=90)
    assert next_run("@EVERY  1.5", slot, BERLIN) == slot + timedelta(seconds=1.5)
    assert next_run("@every 86400", slot, BERLIN) == slot + timedelta(days=1)


def test_the_next_slot_is_strictly_later() -> None:
    slot = datetime(2026, 1, 1, 9, tzinfo=UTC)
    assert next_run("0 9 * * *", slot - timedelta(microseconds=1), "UTC") == slot
    assert next_run("0 9 * * *", slot, "UTC") == slot + timedelta(days=1)


def test_the_result_is_in_utc_for_any_zone() -> None:
    after = datetime(2026, 7, 1, 12, tzinfo=ZoneInfo("Asia/Tokyo"))
    slot = next_run("0 9 * * *", after, ZoneInfo(BERLIN))
    assert slot == datetime(2026, 7, 1, 7, tzinfo=UTC)
    assert slot.tzinfo is UTC


@pytest.mark.parametrize(
    ("expression", "sentence"),
    [
        ("", "has 0 fields"),
        ("0 9 * *", "has 4 fields; write five"),
        ("0 0 9 * * * 2026", "has 7 fields"),
        ("60 9 * * *", "'60' is not a valid minute: write 0 to 59"),
        ("0 24 * * *", "'24' is not a valid hour"),
        ("60 0 9 * * *", "'60' is not a valid second"),
        ("0 9 0 * *", "'0' is not a valid day of the month"),
        ("0 9 * 13 *", "'13' is not a valid month: write 1 to 12 or a name such as jan"),
        ("0 9 * * 8", "'8' is not a valid day of the week"),
        ("0 9 * * mon-", "'mon-' in the day of the week is not a number"),
        ("0 9 * * friday", "'friday' is not a valid day of the week"),
        ("0,,5 9 * * *", "'' in the minute is not a number"),
        ("-5 9 * * *", "'-5' in the minute is not a number"),
        ("*/0 9 * * *", "the step 0 in the minute"),
        ("*/90 * * * *", "the step 90 in the minute is not within 1 to 60; for others use @every"),
        ("? 9 * * *", "'\\?' in the minute is not a number"),
        ("0 9 * * 1,5#2", "mixes plain days with L, W or #"),
        ("0 9 1,15W * *", "mixes plain days with L, W or #"),
        ("0 9 L,15W * *", "more than one day with L or W"),
        ("0 9 LW * *", "'lw' is not a valid day of the month"),
        ("0 9 * * 5#6", "'5#6' in the day of the week is not a number"),
        ("R 9 * * *", "'r' is not a valid minute"),  # croniter's random and hashed fields
        ("H(0-5) 9 * * *", "in the minute is not a number"),
        ("٣ 9 * * *", "characters other than ASCII"),
        ("@reboot", "the aliases are @yearly"),
        ("@every 5x", "@every needs a number of seconds"),
        ("@every 5m 5m", "@every needs a number of seconds"),
        ("@every 5m 1h", "@every needs a number of seconds"),
        ("@every 5000w", "@every needs a number of seconds"),
        ("@every 999999999w", "@every needs a number of seconds"),
        ("@every5m", "@every needs a number of seconds"),
        ("90", "has 1 fields; write five, or six with the seconds first, or a duration such as 5m"),
        ("0.5s", "it fires more than once a second"),
        ("@every -5", "@every needs a number of seconds"),
        ("@every 1e99", "@every needs a number of seconds"),
        ("@every", "@every needs a number of seconds"),
        ("@every 0.999", "it fires more than once a second"),
        ("@every 0", "it fires more than once a second"),
        ("0 0 30 2 *", "never fires: no date matches it"),
        ("0 0 31 4,6,9,11 *", "never fires: no date matches it"),
        ("0 0 1-7 * */7#2", "in the day of the week is not a number"),
        ("* * * * " + "1," * 300 + "1", "is longer than 512 characters"),
    ],
)
def test_an_invalid_schedule_is_refused_with_a_message_that_names_the_mistake(
    expression: str, sentence: str
) -> None:
    with pytest.raises(ScheduleError, match=sentence) as caught:
        check(expression, BERLIN)
    assert str(caught.value).startswith(f"The schedule {expression[:20]!r}"[:30])


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "/etc/passwd", "../UTC", "Europe", "nul\0"])
def test_an_unknown_zone_is_refused(zone: str) -> None:
    with pytest.raises(ScheduleError, match="is not a time zone; write an IANA name such as Europe/Berlin"):
        check("@daily", zone)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        next_run("@daily", datetime(2026, 1, 1), "UTC")  # noqa: DTZ001 -- the mistake under test


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("@every 5m", "@every 300"),
        ("2m", "@every 120"),
        ("1h30m", "@every 5400"),
        (" 1H 30M ", "@every 5400"),
        ("@every 1d 2h 3m 4s", "@every 93784"),
        ("1.5h", "@every 5400"),
        ("20 minutes", "@every 1200"),
        ("@every 1.5", "@every 1.5"),
        ("@every 90", "@every 90"),
        (" 0 9 * * * ", "0 9 * * *"),
        ("@Daily", "@Daily"),
    ],
)
def test_a_duration_is_a_schedule_and_is_stored_in_seconds(written: str, stored: str) -> None:
    assert canonical(written) == stored
    slot = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)
    assert next_run(written, slot, BERLIN) == next_run(stored, slot, BERLIN)


@pytest.mark.parametrize(("back", "following"), [(0, 5), (2, 0), (5, 0), (7, -5), (25, -20)])
def test_every_keeps_its_rhythm_when_the_date_was_set_back(back: int, following: int) -> None:
    slot = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)
    after = slot_after("@every 5m", slot, slot - timedelta(minutes=back), BERLIN)
    assert after == slot + timedelta(minutes=following)


@pytest.mark.parametrize("expression", ["@daily", "* * * * *", "0 0 29 2 1", "@every 999999999"])
@pytest.mark.parametrize("zone", ["Asia/Tokyo", NEW_YORK])
def test_nothing_fires_after_the_end_of_the_calendar(expression: str, zone: str) -> None:
    with pytest.raises(ScheduleError, match="never fires"):
        next_run(expression, datetime.max.replace(tzinfo=UTC), zone)


@pytest.mark.parametrize(
    "expression",
    [
        "0 0 30 2 *",
        "* * 30,31 2 *",
        "* * 31 2,4,6,9,11 */2",
        "0 0 1-21 * */7,sunL",
        "*/59 */59 */23 */31 2 */7",
        "59 59 23 29 2 */7",
        ",".join(map(str, range(60))) + " " + ",".join(map(str, range(24))) + " 30 2 0-6",
    ],
)
def test_a_hostile_expression_is_handled_quickly(expression: str) -> None:
    before = process_time()
    for start in (
        datetime(1, 1, 2, tzinfo=UTC),
        datetime(2026, 3, 29, tzinfo=UTC),
        datetime(9998, 1, 1, tzinfo=UTC),
    ):
        try:
            assert next_run(expression, start, BERLIN) > start
        except ScheduleError as error:
            assert len(str(error)) < 1000  # noqa: PT017 -- either is right
    assert process_time() - before < 1
