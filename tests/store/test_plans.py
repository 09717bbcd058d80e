"""No statement on the way of a message gets slower with history (contract 4), by the plans of all of them."""

from collections.abc import Sequence

import pytest
from attrs import evolve

from tests.store.plans import Statement, hot_statements, rendered

pytestmark = pytest.mark.slow

CAUGHT = {
    "deliveries.begin",
    "deliveries.deliver",
    "deliveries.delivered_by_another_build",
    "deliveries.open_entries",
    "deliveries.postpone",
    "inbound.open_rows",
    "messages_in.insert",
    "messages_in.largest_seq",
    "messages_in.settle",
    "open_work._has_open_rows",
    "events.record",
    "outbound._acks",
    "outbound._settled",
    "outbound.has_open_claims",
    "outbound._by_id",
    "outbound._interrupted",
    "outbound._new_rows",
    "outbound.next_seq",
    "outbound.target",
    "tasks.insert",
    "tasks.repeat",
}
"""Some statements that must be among them, from start-up to the end of a task's occurrence."""


@pytest.fixture(scope="module")
def hot(tmp_path_factory: pytest.TempPathFactory) -> Sequence[Statement]:
    return hot_statements(tmp_path_factory.mktemp("home"), rows=10_000)  # a plan hangs on no number of rows


def test_no_statement_of_the_hot_path_scans_a_growing_table(hot: Sequence[Statement]) -> None:
    assert {one.by for one in hot} >= CAUGHT
    assert {f"{one.by}: {one.sql}": one.scans for one in hot if one.scans} == {}


@pytest.mark.parametrize(
    ("step", "noticed"),
    [
        ("SCAN delivered USING COVERING INDEX sqlite_autoindex_delivered_1", True),
        ("SCAN messages_out", True),
        ("SCAN d", True),
        ("SCAN messages_in USING INDEX idx_messages_in_pending", False),
        ("SEARCH messages_in USING INDEX idx_messages_in_series (series_id=?)", False),
    ],
)
def test_a_plan_that_scans_a_growing_table_is_detected(
    hot: Sequence[Statement], step: str, *, noticed: bool
) -> None:
    assert bool(evolve(hot[0], plan=(step,)).scans) == noticed


def test_the_table_names_the_function_and_the_plan_of_each_statement(hot: Sequence[Statement]) -> None:
    assert "| `outbound.db` | `outbound._new_rows` | SEARCH messages_out INDEX" in rendered(hot)
