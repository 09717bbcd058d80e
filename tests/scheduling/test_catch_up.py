from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanoclaw.scheduling import MAX_CATCH_UP, CatchUp, ScheduleError, due_slots, next_run

BERLIN = "Europe/Berlin"
MONDAY = datetime(2026, 6, 1, 7, tzinfo=UTC)  # nine in Berlin
DAY, MINUTE, SECOND = timedelta(days=1), timedelta(minutes=1), timedelta(seconds=1)

expressions = st.sampled_from(
    [
        "0 9 * * *",
        "*/10 * * * *",
        "30 2 * * *",
        "0 */7 * * 1-5",
        "@every 7000",
        "@every 1.5",
        "*/30 * * * * *",
    ]
)
moments = st.integers(0, 86_400 * 300).map(lambda seconds: MONDAY + seconds * SECOND)
policies: list[CatchUp] = ["skip", "all", "none"]


@pytest.mark.parametrize("catch_up", policies)
def test_after_an_occurrence_in_time_the_next_slot_follows(catch_up: CatchUp) -> None:
    due = due_slots("0 9 * * *", MONDAY, MONDAY + 5 * MINUTE, BERLIN, catch_up)
    assert due == ((), MONDAY + DAY)


@pytest.mark.parametrize(("catch_up", "days"), [("none", []), ("skip", [3]), ("all", [1, 2, 3])])
def test_what_was_missed_is_skipped_but_once_run_or_left(catch_up: CatchUp, days: list[int]) -> None:
    due = due_slots("0 9 * * *", MONDAY, MONDAY + 3.5 * DAY, BERLIN, catch_up)
    assert due.run == tuple(MONDAY + day * DAY for day in days)
    assert due.next == MONDAY + 4 * DAY


def test_an_occurrence_that_ran_late_stands_for_all_until_it_began() -> None:
    began = MONDAY + 3.5 * DAY
    due = due_slots("0 9 * * *", MONDAY, began + 5 * MINUTE, BERLIN, "skip", began=began)
    assert due == ((), MONDAY + 4 * DAY)


def test_an_occurrence_that_takes_too_long_is_followed_by_one_late_run() -> None:
    due = due_slots("* * * * *", MONDAY, MONDAY + 10.5 * MINUTE, BERLIN, "skip", began=MONDAY + 2 * SECOND)
    assert due == ((MONDAY + 10 * MINUTE,), MONDAY + 11 * MINUTE)


def test_a_slot_that_is_just_now_is_due() -> None:
    assert due_slots("@every 60", MONDAY, MONDAY + MINUTE, BERLIN, "skip").run == (MONDAY + MINUTE,)


def test_every_keeps_its_beat_after_an_outage() -> None:
    due = due_slots("@every 600", MONDAY, MONDAY + 25 * MINUTE, BERLIN, "skip")
    assert due == ((MONDAY + 20 * MINUTE,), MONDAY + 30 * MINUTE)


@pytest.mark.parametrize("catch_up", policies)
def test_a_clock_that_went_back_brings_no_slot_again(catch_up: CatchUp) -> None:
    for expression in ("0 9 * * *", "@every 86400"):
        assert due_slots(expression, MONDAY, MONDAY - 10 * DAY, BERLIN, catch_up) == ((), MONDAY + DAY)


def test_all_is_handed_out_in_parts_and_nothing_is_lost_between_them() -> None:
    now = MONDAY + (MAX_CATCH_UP + 10.5) * MINUTE
    first = due_slots("* * * * *", MONDAY, now, BERLIN, "all")
    assert len(first.run) == MAX_CATCH_UP
    assert first.next == first.run[-1] + MINUTE <= now
    second = due_slots("* * * * *", first.run[-1], now, BERLIN, "all")
    assert second.run[0] == first.next
    assert second.next > now


@pytest.mark.parametrize("catch_up", policies)
def test_years_of_missed_seconds_are_no_burden(catch_up: CatchUp) -> None:
    due = due_slots("* * * * * *", MONDAY, MONDAY + 3650 * DAY, BERLIN, catch_up)
    assert len(due.run) <= MAX_CATCH_UP


@settings(max_examples=60, deadline=None)
@given(expressions, moments, st.integers(0, 86_400 * 2))
def test_the_policies_agree_with_each_other_and_with_next_run(
    expression: str, slot: datetime, late: int
) -> None:
    now = slot + late * SECOND
    all_, skip, none = (
        due_slots(expression, slot, now, BERLIN, policy) for policy in ("all", "skip", "none")
    )
    for a, b in pairwise((slot, *all_.run, all_.next)):
        assert next_run(expression, a, BERLIN) == b > a
    assert all(missed <= now for missed in all_.run)
    assert none.run == ()
    assert skip.next == none.next > now
    if len(all_.run) < MAX_CATCH_UP:
        assert skip.run == all_.run[-1:]
        assert all_.next == skip.next


@settings(max_examples=60, deadline=None)
@given(expressions, moments, st.integers(0, 86_400), st.integers(0, 86_400))
def test_one_outage_leads_to_one_late_run(expression: str, slot: datetime, outage: int, length: int) -> None:
    began = slot + outage * SECOND
    due = due_slots(expression, slot, began + length * SECOND, BERLIN, "skip", began=began)
    assert all(began < late <= began + length * SECOND for late in due.run)
    assert len(due.run) <= 1


def test_a_wrong_schedule_a_wrong_zone_and_a_time_without_one_are_refused() -> None:
    with pytest.raises(ScheduleError, match="'99' is not a valid minute"):
        due_slots("99 * * * *", MONDAY, MONDAY, BERLIN, "skip")
    with pytest.raises(ScheduleError, match="not a time zone"):
        due_slots("@daily", MONDAY, MONDAY, "Mars", "none")
    with pytest.raises(ValueError, match="has no time zone"):
        due_slots("@daily", MONDAY, MONDAY.replace(tzinfo=None), BERLIN, "all")
