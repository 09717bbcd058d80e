"""Compares `next_run` with the definition, with a second library, and with itself."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from random import Random
from zoneinfo import ZoneInfo

import pytest
from attrs import frozen
from cronsim import CronSim, CronSimError
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from nanoclaw.scheduling import ScheduleError, check, next_run
from tests.scheduling.definition import ZONES, Schedule, jumps, slots, some_moment, some_schedule

BOTH_CAN = tuple(zone for zone in ZONES if zone != "America/St_Johns")
"""In this zone cronsim never returns when the clock goes back from 00:01 to the day before."""

seeds = st.integers(0, 2**32 - 1)
"""Each example seeds a batch, so that thousands of schedules, zones and times take seconds."""


def walks(examples: int) -> settings:
    return settings(max_examples=examples, deadline=None, phases=[Phase.reuse, Phase.generate])


@frozen
class Case:
    schedule: Schedule
    zone: str
    start: datetime

    def next(self, after: datetime) -> datetime:
        return next_run(self.schedule.text, after, self.zone)

    def slots(self, number: int) -> list[datetime] | None:
        """Our next slots, or None if the schedule never fires."""
        after, found = self.start, list[datetime]()
        try:
            while len(found) < number:
                after = self.next(after)
                found.append(after)
        except ScheduleError:
            return None
        return found

    def by_cronsim(self, number: int) -> list[datetime] | None:
        """The next slots of the second library, or None if it finds none."""
        try:
            slots = CronSim(self.schedule.text, self.start.astimezone(ZoneInfo(self.zone)))
            found = (slot.astimezone(UTC) for slot in slots)
            return list(islice((slot for slot in found if slot > self.start), number)) or None
        except CronSimError:
            return None

    def by_definition(self, after: datetime, end: datetime) -> Iterator[datetime]:
        return slots(self.schedule, ZoneInfo(self.zone), after, end)

    def clock_jumps_near(self, moment: datetime) -> bool:
        return any(abs(jump - moment) < timedelta(days=2) for jump in jumps(self.zone))


def cases(
    seed: int, number: int, zones: Sequence[str] = ZONES, *, seconds: bool = False, common: bool = False
) -> Iterator[Case]:
    random = Random(seed)
    for _ in range(number):
        zone = random.choice(zones)
        schedule = some_schedule(random, seconds=seconds, common=common)
        yield Case(schedule, zone, some_moment(random, zone))


@walks(10)
@given(seeds)
def test_slots_match_the_definition(seed: int) -> None:
    for case in cases(seed, 7):
        expected = list(islice(case.by_definition(case.start, case.start + timedelta(days=2)), 15))
        assert case.slots(len(expected)) == expected, case


@walks(8)
@given(seeds)
def test_slots_with_seconds_match_the_definition(seed: int) -> None:
    for case in cases(seed, 5, seconds=True):
        expected = list(islice(case.by_definition(case.start, case.start + timedelta(hours=2)), 10))
        assert case.slots(len(expected)) == expected, case


@walks(20)
@given(seeds)
def test_there_is_no_slot_before_the_first(seed: int) -> None:
    for case in cases(seed, 7):
        end = case.start + timedelta(days=1)
        ours = (case.slots(1) or [end + timedelta(days=1)])[0]
        assert next(case.by_definition(case.start, end), None) == (ours if ours <= end else None), case


@walks(20)
@given(seeds)
def test_a_second_library_agrees_except_where_clocks_jump(seed: int) -> None:
    for case in cases(seed, 30, BOTH_CAN, common=True):
        ours, theirs = case.slots(3), case.by_cronsim(3)
        if ours != theirs:
            assert ours, case
            assert theirs, case
            decide(case, *next((a, b) for a, b in zip(ours, theirs, strict=True) if a != b))


def decide(case: Case, ours: datetime, theirs: datetime) -> None:
    earlier = min(ours, theirs)
    assert case.clock_jumps_near(earlier), (case, ours, theirs)
    after = max(case.start, earlier - timedelta(hours=3))
    assert (earlier in case.by_definition(after, earlier)) == (earlier == ours), (case, ours, theirs)


@walks(25)
@given(seeds)
def test_a_second_library_agrees_on_seconds(seed: int) -> None:
    for case in cases(seed, 20, ("UTC", "Asia/Kathmandu"), seconds=True, common=True):
        assert case.clock_jumps_near(case.start) or case.slots(3) == case.by_cronsim(3), case


@walks(25)
@given(seeds, st.floats(0, 1))
def test_the_next_slot_is_the_same_from_any_time_before_it(seed: int, share: float) -> None:
    for case in cases(seed, 20):
        for slot in case.slots(1) or ():
            assert slot > case.start, case
            between = case.start + share * (slot - case.start - timedelta(microseconds=1))
            assert case.next(between) == slot, case


@pytest.mark.parametrize("zone", ZONES)
@walks(12)
@given(seeds, st.integers(0, 23), st.integers(0, 59))
def test_a_daily_schedule_has_one_slot_for_each_date(zone: str, seed: int, hour: int, minute: int) -> None:
    start, days = some_moment(Random(seed), zone), 12
    first = next_run(f"{minute} {hour} * * *", start, zone)
    found = [first]
    while len(found) <= days:
        found.append(next_run(f"{minute} {hour} * * *", found[-1], zone))
    # A day apart by the clock on the wall, save where the gap hands one to the moment after it.
    walls = [slot.astimezone(ZoneInfo(zone)).replace(tzinfo=None) for slot in found]
    named = walls[0] if (walls[0].hour, walls[0].minute) == (hour, minute) else walls[1] - timedelta(days=1)
    for number, wall in enumerate(walls):
        assert timedelta(0) <= wall - (named + number * timedelta(days=1)) <= timedelta(days=1)
    assert found == sorted(set(found))


@walks(25)
@given(seeds)
def test_exactly_the_schedules_that_pass_the_check_have_a_next_run(seed: int) -> None:
    for case in cases(seed, 20):
        try:
            check(case.schedule.text, case.zone)
        except ScheduleError:
            assert case.slots(1) is None, case
        else:
            assert case.slots(1), case


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.text(alphabet="0123456789*/,-#LW?@ \tmonEVERYhr", max_size=40),
        st.lists(st.text(alphabet="0123456789*/,-#LW?", min_size=1, max_size=6), min_size=5, max_size=6).map(
            " ".join
        ),
        st.text(max_size=20),
    )
)
def test_any_text_is_a_schedule_or_refused_with_a_message(text: str) -> None:
    start = datetime.fromisoformat("2026-10-24T23:59:59.9+00:00")
    try:
        assert next_run(text, start, "Europe/Berlin") > start
    except ScheduleError as error:
        assert str(error).startswith("The schedule ")  # noqa: PT017 -- either is right, and nothing else
        assert str(error).endswith(".")  # noqa: PT017
