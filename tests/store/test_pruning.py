"""Pruning of session files (contract 4, Pruning)."""

import os
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

import apsw
import pytest

from nanoclaw.records import Address, Receipt
from nanoclaw.store import create_outbound, open_untrusted, to_text
from nanoclaw.store.session import deliveries, messages_in, pruning, tasks
from nanoclaw.store.session.messages_in import NewMessage
from nanoclaw.store.session.pruning import BATCH, Folders
from nanoclaw.testing.world.executor import InlineExecutor
from tests.docs.contract import migrated
from tests.store.openings import NOW, paths_in

T = TypeVar("T")
DAY = timedelta(days=1)
KEPT = 10 * DAY
OLD = NOW - 11 * DAY
YOUNG = NOW - 9 * DAY
BEFORE = (NOW - KEPT).timestamp()
CHAT = Address("fake", "chat")


@pytest.fixture
def inbound() -> apsw.Connection:
    return migrated("inbound")


def put(
    inbound: apsw.Connection,
    id_: str,
    status: str = "completed",
    when: datetime | str = OLD,
    **columns: object,
) -> None:
    messages_in.insert(inbound, NewMessage(id_, "chat", OLD, CHAT, '{"text": "x"}'))
    values = {"status": status, "timestamp": when if isinstance(when, str) else to_text(when), **columns}
    for column, value in values.items():
        inbound.execute(f"UPDATE messages_in SET {column} = ? WHERE id = ?", (value, id_))  # noqa: S608 -- of this file


def walk(step: Callable[[int], pruning.PruneBatch]) -> list[str]:
    """Return all ids that a walk names."""
    found, after = list[str](), 0
    while True:
        walked = step(after)
        found += walked.ids
        if walked.next is None:
            return found
        after = walked.next


def drop_messages(inbound: apsw.Connection) -> list[str]:
    """Return the ids of the remaining messages."""
    walk(lambda after: pruning.drop_messages(inbound, BEFORE, after))
    return [str(id_) for (id_,) in inbound.execute("SELECT id FROM messages_in ORDER BY seq")]


def test_only_old_and_finished_messages_are_pruned(inbound: apsw.Connection) -> None:
    for status in ("completed", "failed", "pending", "paused"):
        put(inbound, status, status)
    put(inbound, "young", when=YOUNG)
    put(inbound, "other spelling", when="2024-01-01 12:00:00")
    put(inbound, "no date", when="yesterday")
    put(inbound, "done lately", process_after=to_text(YOUNG))
    put(inbound, "to go on", recurrence="@daily")
    assert drop_messages(inbound) == ["pending", "paused", "young", "no date", "done lately", "to go on"]


def test_what_was_dated_ahead_is_pruned_when_it_is_old_by_the_right_date(
    inbound: apsw.Connection,
) -> None:
    put(inbound, "ahead", "completed", NOW + timedelta(days=365))
    put(inbound, "open", "pending", NOW + timedelta(days=365))
    pruning.date_back(inbound, OLD)
    assert drop_messages(inbound) == ["open"]


@pytest.mark.parametrize("status", ["pending", "paused", "completed"])
def test_the_history_of_a_task_is_kept_as_long_as_the_task(inbound: apsw.Connection, status: str) -> None:
    put(inbound, "task-1", kind="task", series_id="task-1", slot=to_text(OLD))
    put(inbound, "task-2", status, kind="task", series_id="task-1", slot=to_text(OLD + DAY / 2))
    assert drop_messages(inbound) == ([] if status == "completed" else ["task-1", "task-2"])


def test_a_task_is_found_by_its_oldest_id_after_pruning(inbound: apsw.Connection) -> None:
    put(inbound, "task-1", kind="task", series_id="series")
    put(inbound, "task-2", "pending", kind="task", series_id="series")
    drop_messages(inbound)
    assert [occurrence.id for occurrence in tasks.named(inbound, "task-1")] == ["task-2"]


def test_the_walk_continues_past_a_batch_with_nothing_to_prune(inbound: apsw.Connection) -> None:
    for n in range(2 * BATCH):
        put(inbound, f"in-{n}", "pending" if n < BATCH else "completed")
    assert len(drop_messages(inbound)) == BATCH


def test_sequence_numbers_continue_above_pruned_ones(inbound: apsw.Connection) -> None:
    put(inbound, "in-1")
    put(inbound, "in-2")
    deliveries.record(inbound, [("out-1", 41)])
    delivered(inbound, "out-1")
    assert drop_messages(inbound) == []
    pruning.drop_deliveries(inbound, ["out-1"])
    assert (deliveries.seen(inbound), deliveries.is_empty(inbound)) == (41, False)
    stored = messages_in.insert(inbound, NewMessage("in-3", "chat", NOW, CHAT, "{}"))
    assert stored
    assert stored.seq == 42


# -- the ledger ----------------------------------------------------------------


def delivered(inbound: apsw.Connection, id_: str, when: datetime = OLD) -> None:
    deliveries.record(inbound, [(id_, 1)])
    deliveries.begin(inbound, id_, OLD)
    deliveries.deliver(inbound, id_, Receipt("p"), when)


def old_deliveries(inbound: apsw.Connection) -> list[str]:
    return walk(lambda after: pruning.old_deliveries(inbound, BEFORE, after))


def test_only_old_and_final_deliveries_are_candidates_for_pruning(inbound: apsw.Connection) -> None:
    delivered(inbound, "old")
    delivered(inbound, "young", YOUNG)
    deliveries.record(inbound, [("open", 3)])
    delivered(inbound, "of another build")
    inbound.execute("DELETE FROM deliveries WHERE message_out_id = 'of another build'")
    delivered(inbound, "reopened")
    inbound.execute("UPDATE deliveries SET status = 'unknown' WHERE message_out_id = 'reopened'")
    assert old_deliveries(inbound) == ["old", "of another build"]


def test_pruning_removes_both_halves_of_a_delivery(inbound: apsw.Connection) -> None:
    delivered(inbound, "old")
    delivered(inbound, "other")
    pruning.drop_deliveries(inbound, ["old"])
    for table in ("delivered", "deliveries"):
        assert inbound.execute(f"SELECT message_out_id FROM {table}").fetchall() == [("other",)]  # noqa: S608 -- of this file


async def rows_left(path: Path, *statements: str) -> frozenset[str]:
    """Return which of `a` and `b` the host finds in an outbound.db after these statements."""
    create_outbound(paths_in(path), owner=None)
    connection = apsw.Connection(str(paths_in(path).outbound_db))
    for statement in (
        "INSERT INTO messages_out (id, seq, kind, timestamp, content) VALUES ('a', 1, 'chat', '', '{}')",
        *statements,
    ):
        connection.execute(statement).fetchall()
    connection.close()
    async with open_untrusted(paths_in(path).outbound_db, InlineExecutor()) as reader:
        return await reader.run(pruning.rows_left, ["a", "b"])


@pytest.mark.parametrize(
    ("statement", "left"),
    [
        ("SELECT 1", {"a"}),
        ("DELETE FROM messages_out", set[str]()),
        ("PRAGMA user_version = 0", {"a", "b"}),
    ],
)
async def test_a_row_missing_from_the_runners_file_counts_as_gone(
    tmp_path: Path, statement: str, left: set[str]
) -> None:
    assert await rows_left(tmp_path, statement) == left


# -- files ---------------------------------------------------------------------


def test_files_are_pruned_with_their_message_or_by_age_if_they_have_none(
    inbound: apsw.Connection, tmp_path: Path
) -> None:
    put(inbound, "in-done")
    put(inbound, "in-open", "pending")
    put(inbound, "in-young", when=YOUNG)
    put(inbound, "in-late", process_after=to_text(YOUNG))
    for name in ("in-done", "in-open", "in-young", "in-late", "in-none", "in-new", "in-again"):
        photo = tmp_path / name / "photo"
        photo.parent.mkdir()
        photo.touch()
        for place in (photo, photo.parent):
            young = name == "in-new" or (name == "in-again" and place is photo)
            os.utime(place, times=(BEFORE - 1, BEFORE + (1 if young else -1)))
    (tmp_path / "no folder").touch()
    found = pruning.done_with(inbound, BEFORE, pruning.folders(tmp_path))
    assert found == Folders(["in-done"], ["in-again", "in-new", "in-none"])
    assert pruning.remove_folders(tmp_path, found, BEFORE) == 2
    assert pruning.folders(tmp_path) == ["in-again", "in-late", "in-new", "in-open", "in-young"]


def test_a_symbolic_link_in_the_inbox_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "in-1").symlink_to(tmp_path / "precious")
    assert pruning.folders(tmp_path / "inbox") == []
    with pytest.raises(OSError, match="Not a directory"):
        pruning.remove_folders(tmp_path / "inbox", Folders(["in-1"], []), BEFORE)
    assert (tmp_path / "precious").is_dir()


def test_a_folder_that_cannot_be_removed_does_not_stop_the_others(tmp_path: Path) -> None:
    (tmp_path / "in-2").mkdir()
    with pytest.raises(FileNotFoundError):
        pruning.remove_folders(tmp_path, Folders(["in-1", "in-2"], []), BEFORE)
    assert pruning.folders(tmp_path) == []
