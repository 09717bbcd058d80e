"""`messages_in`, tasks, and the projections of a session, without anything around them."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from random import Random

import apsw
import pytest
from attrs import Factory, define, evolve

from nanoclaw.records import Address, Destination
from nanoclaw.store import messages_in, projections, tasks
from nanoclaw.store.messages_in import NewMessage
from nanoclaw.store.migration_steps import inbound as migrations_of_inbound
from nanoclaw.store.migrations import apply_session
from nanoclaw.store.tasks import NewTask
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


def test_a_message_is_open_under_an_even_number_and_stored_once(db: apsw.Connection) -> None:
    stored = messages_in.insert(db, evolve(message("m-1"), platform_message_id="42"))
    assert stored is not None
    assert stored.seq == 2
    assert messages_in.insert(db, message("m-1")) is None
    assert messages_in.open_messages(db) == [stored]


def test_a_message_may_wait_for_its_time(db: apsw.Connection) -> None:
    stored = messages_in.insert(db, evolve(message("m-1"), process_after=LATER))
    assert stored is not None
    assert (stored.due(NOW), stored.due(LATER)) == (False, True)
    assert row(db, "m-1")["process_after"] == "2026-01-01T13:00:00.000Z"


def test_numbers_grow_past_what_was_seen_of_the_other_side(db: apsw.Connection) -> None:
    assert messages_in.next_seq(db) == 2
    messages_in.set_mark(db, "outbound_seq", 7)
    assert messages_in.next_seq(db) == 8
    messages_in.set_mark(db, "outbound_seq", 8)
    assert messages_in.next_seq(db) == 10


# -- tasks ---------------------------------------------------------------------


def test_a_task_is_due_at_its_slot_and_begins_a_series(db: apsw.Connection) -> None:
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


def test_a_slot_of_a_series_is_stored_once(db: apsw.Connection) -> None:
    tasks.insert(db, TASK)
    assert tasks.insert(db, TASK) is None
    assert tasks.insert(db, evolve(TASK, id="t-2", series_id="t-1")) is None
    assert tasks.insert(db, evolve(TASK, id="t-2", series_id="t-1", slot=LATER + timedelta(days=1)))


def test_a_task_may_have_no_place_and_no_script(db: apsw.Connection) -> None:
    stored = tasks.insert(db, NewTask("t-1", NOW, "think", NOW))
    assert stored is not None
    assert stored.address is None
    assert json.loads(str(row(db, "t-1")["content"])) == {"prompt": "think"}


@pytest.mark.parametrize("name", ["t-1", "t-2"])
def test_a_task_goes_by_its_series_and_by_the_id_of_any_occurrence(db: apsw.Connection, name: str) -> None:
    tasks.insert(db, TASK)
    messages_in.settle(db, "t-1", "completed")
    tasks.insert(db, evolve(TASK, id="t-2", series_id="t-1", slot=LATER + timedelta(days=1)))
    assert tasks.pause(db, name) == ["t-2"]
    assert messages_in.open_messages(db) == []
    assert [task.id for task in tasks.resume(db, name)] == ["t-2"]
    assert tasks.resume(db, name) == []
    assert tasks.cancel(db, name) == ["t-2"]
    assert tasks.cancel(db, name) == []
    assert (row(db, "t-2")["status"], row(db, "t-2")["recurrence"]) == ("completed", None)


def test_a_paused_task_can_be_cancelled_and_a_cancelled_one_does_not_come_back(db: apsw.Connection) -> None:
    tasks.insert(db, TASK)
    tasks.pause(db, "t-1")
    assert tasks.cancel(db, "t-1") == ["t-1"]
    assert tasks.resume(db, "t-1") == []
    assert messages_in.open_messages(db) == []


def test_what_is_no_task_is_left_alone(db: apsw.Connection) -> None:
    messages_in.insert(db, message("m-1"))
    assert tasks.pause(db, "m-1") == []
    assert tasks.cancel(db, "m-1") == []
    assert [one.id for one in messages_in.open_messages(db)] == ["m-1"]


def test_a_resumed_task_keeps_what_it_was(db: apsw.Connection) -> None:
    stored = tasks.insert(db, TASK)
    messages_in.postpone(db, "t-1", 2, LATER)
    assert stored is not None
    tasks.pause(db, "t-1")
    assert tasks.resume(db, "t-1") == [evolve(stored, tries=2)]


# -- a model -------------------------------------------------------------------


@define
class Row:
    seq: int
    series: str | None
    slot: int | None
    status: str = "pending"


@define
class Inbound:
    """A session's messages, and what a model of them says; each step does the same to both."""

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
        series = self.random.choice([None, "t0", "t1"])
        new = NewTask(id_, NOW, "p", NOW + timedelta(days=slot), series_id=series)
        stored = tasks.insert(self.db, new)
        assert (stored and stored.seq) == self._inserted(id_, series or id_, slot)

    def cancel(self) -> None:
        task = self._task_id()
        assert tasks.cancel(self.db, task) == self._turned(task, {"pending", "paused"}, "completed")

    def pause(self) -> None:
        task = self._task_id()
        assert tasks.pause(self.db, task) == self._turned(task, {"pending"}, "paused")

    def resume(self) -> None:
        task = self._task_id()
        resumed = sorted(one.id for one in tasks.resume(self.db, task))
        assert resumed == self._turned(task, {"paused"}, "pending")

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

    def _message_id(self) -> str:
        return f"m{self.random.randrange(12)}"

    def _task_id(self) -> str:
        return f"t{self.random.randrange(6)}"

    def _inserted(self, id_: str, series: str | None, slot: int | None) -> int | None:
        slots = {(row.series, row.slot) for row in self.rows.values()}
        if id_ in self.rows or (series is not None and (series, slot) in slots):
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
def test_any_sequence_of_messages_and_tasks_does_what_a_model_does(db: apsw.Connection, seed: int) -> None:
    session = Inbound(db, Random(seed))
    steps = ["message", "task", "task", "cancel", "pause", "resume", "settle", "see"]
    for step in session.random.choices(steps, k=150):
        getattr(session, step)()
        session.look()


# -- projections ---------------------------------------------------------------


def test_destinations_are_rewritten_whole(db: apsw.Connection) -> None:
    team = Destination("team", "Team", "channel", "tg", "tg:1")
    other = Destination("other", None, "agent", agent_group_id="ag-2")
    projections.write_destinations(db, [team, other])
    assert projections.destinations(db) == [other, team]
    projections.write_destinations(db, [other])
    assert projections.destinations(db) == [other]


def test_the_routing_is_one_address_and_stays_when_nothing_new_is_known(db: apsw.Connection) -> None:
    assert projections.routing(db) is None
    for address in (CHAT, Address("tg", "tg:2"), None):
        projections.write_routing(db, address)
    assert projections.routing(db) == Address("tg", "tg:2")
