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
def test_an_occurrence_on_time_is_followed_by_the_next_slot(catch_up: CatchUp) -> None:
    due = due_slots("0 9 * * *", MONDAY, MONDAY + 5 * MINUTE, BERLIN, catch_up)
    assert due == ((), MONDAY + DAY)


@pytest.mark.parametrize(("catch_up", "days"), [("none", []), ("skip", [3]), ("all", [1, 2, 3])])
def test_missed_slots_are_run_as_the_catch_up_policy_says(catch_up: CatchUp, days: list[int]) -> None:
    due = due_slots("0 9 * * *", MONDAY, MONDAY + 3.5 * DAY, BERLIN, catch_up)
    assert due.run == tuple(MONDAY + day * DAY for day in days)
    assert due.next == MONDAY + 4 * DAY


def test_a_late_run_covers_all_slots_missed_before_it_began() -> None:
    began = MONDAY + 3.5 * DAY
    due = due_slots("0 9 * * *", MONDAY, began + 5 * MINUTE, BERLIN, "skip", began=began)
    assert due == ((), MONDAY + 4 * DAY)


def test_an_occurrence_that_overruns_later_slots_is_followed_by_one_late_run() -> None:
    due = due_slots("* * * * *", MONDAY, MONDAY + 10.5 * MINUTE, BERLIN, "skip", began=MONDAY + 2 * SECOND)
    assert due == ((MONDAY + 10 * MINUTE,), MONDAY + 11 * MINUTE)


def test_a_slot_at_the_current_time_is_due() -> None:
    assert due_slots("@every 60", MONDAY, MONDAY + MINUTE, BERLIN, "skip").run == (MONDAY + MINUTE,)


def test_every_keeps_its_rhythm_after_an_outage() -> None:
    due = due_slots("@every 600", MONDAY, MONDAY + 25 * MINUTE, BERLIN, "skip")
    assert due == ((MONDAY + 20 * MINUTE,), MONDAY + 30 * MINUTE)


@pytest.mark.parametrize("catch_up", policies)
def test_a_clock_set_back_does_not_repeat_a_slot(catch_up: CatchUp) -> None:
    for expression in ("0 9 * * *", "@every 86400"):
        assert due_slots(expression, MONDAY, MONDAY - 10 * DAY, BERLIN, catch_up) == ((), MONDAY + DAY)


def test_the_policy_all_returns_slots_in_batches_without_loss() -> None:
    now = MONDAY + (MAX_CATCH_UP + 10.5) * MINUTE
    first = due_slots("* * * * *", MONDAY, now, BERLIN, "all")
    assert len(first.run) == MAX_CATCH_UP
    assert first.next == first.run[-1] + MINUTE <= now
    second = due_slots("* * * * *", first.run[-1], now, BERLIN, "all")
    assert second.run[0] == first.next
    assert second.next > now


@pytest.mark.parametrize("catch_up", policies)
def test_years_of_missed_seconds_are_computed_quickly(catch_up: CatchUp) -> None:
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
def test_one_outage_causes_one_late_run(expression: str, slot: datetime, outage: int, length: int) -> None:
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
