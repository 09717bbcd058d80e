"""`messages_in`, tasks and projections of a session, tested without an actor."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from random import Random

import apsw
import pytest
from attrs import Factory, define, evolve

from nanoclaw.records import Address, CatchUp, Destination
from nanoclaw.store.engine.migration_steps import inbound as migrations_of_inbound
from nanoclaw.store.engine.migrations import apply_session
from nanoclaw.store.session import messages_in, projections, tasks
from nanoclaw.store.session.messages_in import NewMessage, Schedule
from nanoclaw.store.session.tasks import NewTask
from tests.store.old_databases import made_by_hand
from tests.store.openings import NOW

CHAT = Address("tg", "tg:1", "t")
LATER = NOW + timedelta(hours=1)
TASK = NewTask("t-1", NOW, "water the plants", LATER, CHAT, "test -f x", "0 9 * * *", "Europe/Rome", "all")


@pytest.fixture
def db() -> Iterator[apsw.Connection]:
    with made_by_hand(Path(":memory:")) as connection:
        for migration in migrations_of_inbound():
            apply_session(connection, migration)
        yield connection


def row(db: apsw.Connection, id_: str) -> dict[str, object]:
    cursor = db.execute("SELECT * FROM messages_in WHERE id = ?", (id_,))
    names = [column[0] for column in cursor.description]
    return dict(zip(names, next(iter(cursor)), strict=True))


def message(id_: str) -> NewMessage:
    return NewMessage(id_, "chat", NOW, CHAT, '{"id": "42", "text": "hi"}')


# -- messages ------------------------------------------------------------------


def test_a_new_message_is_open_has_an_even_number_and_is_stored_once(db: apsw.Connection) -> None:
    stored = messages_in.insert(db, evolve(message("m-1"), platform_message_id="42"))
    assert stored is not None
    assert stored.seq == 2
    assert messages_in.insert(db, message("m-1")) is None
    assert messages_in.open_messages(db) == [stored]


def test_a_message_can_be_due_later(db: apsw.Connection) -> None:
    stored = messages_in.insert(db, evolve(message("m-1"), process_after=LATER))
    assert stored is not None
    assert (stored.due(NOW), stored.due(LATER)) == (False, True)
    assert row(db, "m-1")["process_after"] == "2026-01-01T13:00:00.000Z"


def test_the_next_number_is_above_the_highest_seen_from_the_other_side(db: apsw.Connection) -> None:
    assert messages_in.next_seq(db) == 2
    messages_in.set_mark(db, "outbound_seq", 7)
    assert messages_in.next_seq(db) == 8
    messages_in.set_mark(db, "outbound_seq", 8)
    assert messages_in.next_seq(db) == 10


# -- tasks ---------------------------------------------------------------------


def test_a_task_is_due_at_its_slot_and_starts_a_series(db: apsw.Connection) -> None:
    stored = tasks.insert(db, TASK)
    assert stored is not None
    assert (stored.due(NOW), stored.due(LATER), stored.address) == (False, True, CHAT)
    assert messages_in.open_messages(db) == [stored]
    found = row(db, "t-1")
    assert json.loads(str(found.pop("content"))) == {"prompt": "water the plants", "script": "test -f x"}
    slot = "2026-01-01T13:00:00.000Z"
    assert {key: found[key] for key in ("kind", "series_id", "slot", "process_after", "recurrence")} == {
        "kind": "task",
        "series_id": "t-1",
        "slot": slot,
        "process_after": slot,
        "recurrence": "0 9 * * *",
    }
    assert (found["zone"], found["catch_up"], found["thread_id"]) == ("Europe/Rome", "all", "t")


def test_host_and_runner_read_a_slot_with_the_same_precision(db: apsw.Connection) -> None:
    """Otherwise the host would treat a task as not due while the runner already works on it."""
    slot = LATER + timedelta(microseconds=1999)
    stored = tasks.insert(db, evolve(TASK, slot=slot))
    assert stored is not None
    assert messages_in.open_messages(db) == [stored]
    assert stored.due(LATER + timedelta(milliseconds=1))


def test_a_slot_of_a_series_is_stored_once(db: apsw.Connection) -> None:
    stored = tasks.insert(db, TASK)
    assert stored is not None
    assert tasks.insert(db, TASK) is None
    [first] = tasks.named(db, "t-1")
    assert tasks.slot_taken(db, "t-1", LATER)
    with pytest.raises(apsw.ConstraintError, match="slot"):
        tasks.repeat(db, first, "t-2", LATER, NOW, last=True)
    tomorrow = LATER + timedelta(days=1)
    assert not tasks.slot_taken(db, "t-1", tomorrow)
    again = tasks.repeat(db, first, "t-2", tomorrow, NOW, last=True)
    assert again == evolve(stored, id="t-2", seq=again.seq, process_after=tomorrow)
    changed = {"id", "seq", "slot", "process_after"}
    first_row, second_row = row(db, "t-1"), row(db, "t-2")
    assert {key for key in first_row if first_row[key] != second_row[key]} == changed


def test_a_task_needs_no_place_and_no_script(db: apsw.Connection) -> None:
    stored = tasks.insert(db, NewTask("t-1", NOW, "think", NOW))
    assert stored is not None
    assert stored.address is None
    assert json.loads(str(row(db, "t-1")["content"])) == {"prompt": "think"}


@pytest.mark.parametrize("name", ["t-1", "t-2"])
def test_a_task_is_found_by_its_series_and_by_the_id_of_any_occurrence(
    db: apsw.Connection, name: str
) -> None:
    tasks.insert(db, TASK)
    messages_in.settle(db, "t-1", "completed")
    first = tasks.of_row(db, "t-1")
    assert first is not None
    tasks.repeat(db, first, "t-2", LATER + timedelta(days=1), NOW, last=True)
    [open_] = tasks.named(db, name)
    assert (open_.id, open_.series_id, open_.paused) == ("t-2", "t-1", False)
    tasks.set_paused(db, [open_], paused=True)
    assert messages_in.open_messages(db) == []
    assert [(each.id, each.paused) for each in tasks.named(db, name)] == [("t-2", True)]
    tasks.end(db, [open_])
    assert tasks.named(db, name) == []
    assert (row(db, "t-2")["status"], row(db, "t-2")["recurrence"]) == ("completed", None)


def test_task_functions_ignore_ordinary_messages(db: apsw.Connection) -> None:
    messages_in.insert(db, message("m-1"))
    assert tasks.named(db, "m-1") == []
    assert tasks.of_row(db, "m-1") is None
    assert [one.id for one in messages_in.open_messages(db)] == ["m-1"]


def test_pausing_and_resuming_a_task_leaves_it_unchanged(db: apsw.Connection) -> None:
    stored = tasks.insert(db, TASK)
    messages_in.postpone(db, "t-1", 2, LATER)
    assert stored is not None
    tasks.set_paused(db, tasks.named(db, "t-1"), paused=True)
    [paused] = tasks.named(db, "t-1")
    tasks.set_paused(db, [paused], paused=False)
    assert messages_in.open_messages(db) == [evolve(stored, tries=2)] == [paused.message]


def test_changing_a_task_keeps_its_slot(db: apsw.Connection) -> None:
    tasks.insert(db, TASK)
    [before] = tasks.named(db, "t-1")
    changed = tasks.change(db, before, recurrence=None, zone="Asia/Tokyo", catch_up="none", content="{}")
    assert tasks.named(db, "t-1") == [changed]
    schedule = Schedule("t-1", None, "Asia/Tokyo", before.stored_at)
    kept = evolve(before.message, expires=True, schedule=schedule)
    assert (changed.slot, changed.message) == (before.slot, kept)


@pytest.mark.parametrize("paused", [True, False])
def test_moving_a_task_adds_a_row_to_its_series_and_frees_its_slot(
    db: apsw.Connection,
    paused: bool,  # noqa: FBT001 -- pytest
) -> None:
    tasks.insert(db, TASK)
    tasks.set_paused(db, tasks.named(db, "t-1"), paused=paused)
    [before] = tasks.named(db, "t-1")
    moved = tasks.move(db, before, "t-2", NOW, NOW)
    [found] = tasks.named(db, "t-1")
    assert (found.message, found.slot, found.series_id, found.paused) == (moved, NOW, "t-1", paused)
    assert (found.recurrence, found.zone, found.catch_up) == (TASK.recurrence, TASK.zone, TASK.catch_up)
    assert (row(db, "t-1")["status"], row(db, "t-1")["recurrence"]) == ("completed", None)
    assert not tasks.slot_taken(db, "t-1", TASK.slot)


def test_only_late_untried_active_occurrences_with_catch_up_none_are_overdue(db: apsw.Connection) -> None:
    policies: list[CatchUp] = ["none", "skip", "all", "none", "none"]
    for n, catch_up in enumerate(policies):
        tasks.insert(db, evolve(TASK, id=f"t-{n}", catch_up=catch_up))
    messages_in.postpone(db, "t-3", 1, NOW)
    tasks.set_paused(db, tasks.named(db, "t-4"), paused=True)
    assert [each.id for each in tasks.overdue(db, LATER + timedelta(seconds=1))] == ["t-0"]
    assert tasks.overdue(db, LATER) == []
    assert tasks.count_open(db) == 5


# -- a model -------------------------------------------------------------------


@define
class Row:
    seq: int
    series: str | None
    slot: int | None
    status: str = "pending"


@define
class Inbound:
    """A session's messages and a model of them. Each step does the same to both."""

    db: apsw.Connection
    random: Random
    rows: dict[str, Row] = Factory(dict)
    largest: int = 0

    def message(self) -> None:
        id_ = self._message_id()
        stored = messages_in.insert(self.db, message(id_))
        assert (stored and stored.seq) == self._inserted(id_, None, None)

    def task(self) -> None:
        id_, slot = self._task_id(), self.random.randrange(4)
        stored = tasks.insert(self.db, NewTask(id_, NOW, "p", NOW + timedelta(days=slot)))
        assert (stored and stored.seq) == self._inserted(id_, id_, slot)

    def repeat(self) -> None:
        id_, slot = self._task_id(), self.random.randrange(4)
        before = tasks.of_row(self.db, self._task_id())
        if before is None or id_ in self.rows:
            return
        moment, taken = NOW + timedelta(days=slot), (before.series_id, slot) in self._slots()
        assert tasks.slot_taken(self.db, before.series_id, moment) == taken
        if not taken:
            stored = tasks.repeat(self.db, before, id_, moment, NOW, last=True)
            assert stored.seq == self._inserted(id_, before.series_id, slot)
            if before.paused:
                self.rows[id_].status = "paused"

    def cancel(self) -> None:
        task = self._task_id()
        found = tasks.named(self.db, task)
        tasks.end(self.db, found)
        assert sorted(each.id for each in found) == self._turned(task, {"pending", "paused"}, "completed")

    def pause(self) -> None:
        task = self._task_id()
        found = [each for each in tasks.named(self.db, task) if not each.paused]
        tasks.set_paused(self.db, found, paused=True)
        assert sorted(each.id for each in found) == self._turned(task, {"pending"}, "paused")

    def resume(self) -> None:
        task = self._task_id()
        found = [each for each in tasks.named(self.db, task) if each.paused]
        tasks.set_paused(self.db, found, paused=False)
        assert sorted(each.id for each in found) == self._turned(task, {"paused"}, "pending")

    def settle(self) -> None:
        id_ = self._message_id()
        messages_in.settle(self.db, id_, "failed")
        if id_ in self.rows and self.rows[id_].status == "pending":
            self.rows[id_].status = "failed"

    def see(self) -> None:
        self.largest = max(self.largest, self.random.randrange(60))
        messages_in.set_mark(self.db, "outbound_seq", self.largest)

    def look(self) -> None:
        pending = sorted((row.seq, id_) for id_, row in self.rows.items() if row.status == "pending")
        assert [(one.seq, one.id) for one in messages_in.open_messages(self.db)] == pending
        assert len({row.seq for row in self.rows.values()}) == len(self.rows)

    def _slots(self) -> set[tuple[str | None, int | None]]:
        return {(row.series, row.slot) for row in self.rows.values()}

    def _message_id(self) -> str:
        return f"m{self.random.randrange(12)}"

    def _task_id(self) -> str:
        return f"t{self.random.randrange(6)}"

    def _inserted(self, id_: str, series: str | None, slot: int | None) -> int | None:
        if id_ in self.rows:
            return None
        self.largest = self.largest // 2 * 2 + 2
        self.rows[id_] = Row(self.largest, series, slot)
        return self.largest

    def _turned(self, task: str, before: set[str], after: str) -> list[str]:
        series = {task, self.rows[task].series if task in self.rows else None} - {None}
        hit = {id_: r for id_, r in self.rows.items() if r.status in before and r.series in series}
        for row in hit.values():
            row.status = after
        return sorted(hit)


@pytest.mark.parametrize("seed", range(20))
def test_any_sequence_of_messages_and_tasks_matches_the_model(db: apsw.Connection, seed: int) -> None:
    session = Inbound(db, Random(seed))
    steps = ["message", "task", "repeat", "cancel", "pause", "resume", "settle", "see"]
    for step in session.random.choices(steps, k=150):
        getattr(session, step)()
        session.look()


# -- projections ---------------------------------------------------------------


def test_destinations_are_replaced_as_a_whole(db: apsw.Connection) -> None:
    team = Destination("team", "Team", "channel", "tg", "tg:1")
    other = Destination("other", None, "agent", agent_group_id="ag-2")
    projections.write_destinations(db, [team, other])
    assert projections.destinations(db) == [other, team]
    projections.write_destinations(db, [other])
    assert projections.destinations(db) == [other]


def test_the_routing_is_one_address_and_is_kept_without_a_new_one(db: apsw.Connection) -> None:
    assert projections.routing(db) is None
    for address in (CHAT, Address("tg", "tg:2"), None):
        projections.write_routing(db, address)
    assert projections.routing(db) == Address("tg", "tg:2")
