"""The selection of a turn's rows, for any queue."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from agent_runner.inbound import Candidate
from agent_runner.turns.selection import LARGEST_BATCH, Batch, Selection
from tests.runner.world import EPOCH

ROWS = st.lists(
    st.builds(
        Candidate,
        seq=st.just(0),
        id=st.just(""),
        tries=st.sampled_from([0, 0, 0, 1]),
        process_after=st.sampled_from([None, None, "2025-03-01 11:00:00", "2025-03-01 13:00:00"]),
        trigger=st.sampled_from([True, False, False]),
        on_wake=st.sampled_from([False, False, True]),
    ),
    max_size=40,
)
NOW = EPOCH
HORIZON = 20


def numbered(rows: list[Candidate]) -> list[Candidate]:
    """Return the rows with numbers and ids."""
    return [
        Candidate(2 * n, f"in-{2 * n}", row.tries, row.process_after, row.trigger, row.on_wake)
        for n, row in enumerate(rows, 1)
    ]


def choose(rows: list[Candidate]) -> Selection:
    selection = Selection(NOW, HORIZON)
    for row in rows:
        selection.offer(row)
    return selection


def eligible(row: Candidate) -> bool:
    return (not row.on_wake or row.seq <= HORIZON) and "13:00" not in str(row.process_after)


def picked(batch: Batch | None) -> set[str]:
    return set() if batch is None else {*batch.ids, *(claim.id for claim in batch.omitted)}


@given(ROWS)
def test_there_is_a_turn_exactly_when_a_message_is_due(shape: list[Candidate]) -> None:
    rows = numbered(shape)
    wanted = any(row.trigger and eligible(row) for row in rows)
    assert (choose(rows).batch() is not None) == wanted


@given(ROWS)
def test_a_turn_takes_only_what_is_eligible_in_order_and_bounded(shape: list[Candidate]) -> None:
    rows = numbered(shape * 12)
    batch = choose(rows).batch()
    ids = [] if batch is None else list(batch.ids)
    assert ids == [row.id for row in rows if row.id in set(ids) and eligible(row)]
    assert len(ids) <= LARGEST_BATCH


@given(ROWS)
def test_a_message_that_was_tried_is_alone(shape: list[Candidate]) -> None:
    rows = numbered(shape)
    tried = {row.id for row in rows if row.tries and row.trigger}
    got = picked(choose(rows).batch())
    assert got.isdisjoint(tried) or len(got) == 1


@given(ROWS)
def test_every_queue_is_worked_off(shape: list[Candidate]) -> None:
    rows = numbered(shape * 12)
    while (batch := choose(rows).batch()) is not None:
        done = picked(batch)
        rows = [row for row in rows if row.id not in done]
    assert not any(row.trigger and eligible(row) for row in rows)


@given(ROWS)
def test_context_is_omitted_only_where_a_turn_is_full(shape: list[Candidate]) -> None:
    rows = numbered(shape * 12)
    batch = choose(rows).batch()
    if batch is not None and batch.omitted:
        assert len(batch.ids) == LARGEST_BATCH
        omitted = {claim.id for claim in batch.omitted}
        assert not any(row.trigger for row in rows if row.id in omitted)


def test_the_next_due_time_is_the_earliest_of_those_to_come() -> None:
    later = ["2025-03-01T12:00:09.000Z", "2025-03-01 12:00:07", "2025-03-01T12:00:08Z"]
    rows = [Candidate(n, f"{n}", 0, due, trigger=True, on_wake=False) for n, due in enumerate(later)]
    late_wake = Candidate(98, "98", 0, "2025-03-01 12:00:01", trigger=True, on_wake=True)
    assert choose([*rows, late_wake]).next_due == NOW + timedelta(seconds=7)
