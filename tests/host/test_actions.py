"""Requests of an agent to its session, each in a transaction on a real file, and refusals."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest
from attrs import evolve

from nanoclaw.records import Address
from nanoclaw.session import actions, recurrence, task_requests
from nanoclaw.session.actions import AnsweredAction
from nanoclaw.session.requests import ActionContext
from nanoclaw.store.engine.migration_steps import inbound
from nanoclaw.store.engine.migrations import apply_session
from nanoclaw.store.session import messages_in, tasks
from nanoclaw.store.session.outbound import MessageOut
from nanoclaw.store.session.tasks import Occurrence
from tests.store.old_databases import made_by_hand

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
CHAT = Address("fake", "chat", "thread")


@pytest.fixture
def db() -> Iterator[apsw.Connection]:
    with made_by_hand(Path(":memory:")) as connection:
        for migration in inbound():
            apply_session(connection, migration)
        yield connection


def asks(
    db: apsw.Connection,
    action: object,
    *,
    id_: str = "out-1",
    at: datetime = NOW,
    claimed: tuple[str, ...] = (),
    **content: object,
) -> AnsweredAction:
    row = MessageOut(id_, 1, "system", CHAT, json.dumps({"action": action, **content}), None, None)
    answered = actions.perform(db, row, ActionContext(at, "UTC", frozenset(claimed)))
    assert answered
    return answered


def answer(db: apsw.Connection, id_: str = "out-1") -> dict[str, Any]:
    sql = "SELECT content FROM messages_in WHERE id = ?"
    return dict(json.loads(str(db.execute(sql, (f"answer-{id_}",)).get)))


def scheduled(db: apsw.Connection, **content: object) -> Occurrence:
    """Schedule a task. By default it runs each day at nine."""
    given: dict[str, Any] = {"taskId": "task-1", "prompt": "water", "recurrence": "0 9 * * *", **content}
    assert asks(db, "schedule_task", id_="out-0", **given).error is None
    return the_task(db)


def the_task(db: apsw.Connection, name: str = "task-1") -> Occurrence:
    [found] = tasks.named(db, name)
    return found


def the_task_after(db: apsw.Connection, name: str) -> Occurrence:
    """Return the occurrence after the claimed one."""
    _, found = tasks.named(db, name)
    return found


def on(day: int, hour: int = 9) -> datetime:
    return datetime(2026, 1, day, hour, tzinfo=UTC)


def test_a_task_is_scheduled_in_its_zone_and_the_agent_is_told_when_it_runs(db: apsw.Connection) -> None:
    done = asks(db, "schedule_task", taskId="task-1", prompt="p", recurrence="@daily", zone="Asia/Tokyo")
    task = the_task(db)
    assert (task.slot, task.message.address, task.catch_up) == (on(1, 15), CHAT, "skip")
    assert answer(db) == {
        "action": "schedule_task",
        "status": "completed",
        "requestId": "out-1",
        "result": {"taskId": "task-1", "nextRun": "2026-01-01T15:00:00.000Z", "zone": "Asia/Tokyo"},
    }
    assert [(message.id, message.trigger) for message in done.opened] == [
        ("task-1", True),
        ("answer-out-1", False),
    ]


def test_a_task_may_begin_at_a_time_and_recur_from_then_on(db: apsw.Connection) -> None:
    assert scheduled(db, processAfter="2026-01-05T10:30:00+01:00").slot == on(5, 9) + timedelta(minutes=30)


def test_a_task_without_an_id_is_named_after_its_request(db: apsw.Connection) -> None:
    asks(db, "schedule_task", prompt="p", processAfter="2026-01-05T10:30:00Z")
    assert the_task(db, "task-out-1").recurrence is None


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ({"prompt": None}, "prompt is missing"),
        ({"prompt": " "}, "prompt must have 1 to 100,000"),
        ({"prompt": "x" * 100_001}, "prompt must have 1 to 100,000"),
        ({"prompt": ["x"]}, "prompt must be a string"),
        ({"script": 5}, "script must be a string"),
        ({"recurrence": "0 99 * * *"}, "'99' is not a valid hour"),
        ({"recurrence": "0 0 31 2 *"}, "never fires"),
        ({"recurrence": None}, "give at least one"),
        ({"recurrence": 7}, "recurrence must be a string"),
        ({"zone": "Mars/Olympus"}, "not a time zone"),
        ({"zone": "../../etc/passwd"}, "not a time zone"),
        (
            {"processAfter": "tomorrow"},
            "processAfter must be a time such as 2026-01-31T09:00:00Z, or a delay such as 2m, got 'tomorrow'",
        ),
        ({"processAfter": "9999-12-31T23:59:59-12:00"}, "must be a time"),
        ({"catchUp": "some"}, "catchUp must be one of skip, all, none, got 'some'"),
        ({"taskId": "in-1"}, "taskId must begin with 'task-'"),
        ({"taskId": "task-../x"}, "taskId must begin with"),
    ],
)
def test_a_bad_schedule_is_refused_with_its_reason(
    db: apsw.Connection, content: dict[str, Any], error: str
) -> None:
    given: dict[str, Any] = {"taskId": "task-1", "prompt": "p", "recurrence": "@daily", **content}
    refused = asks(db, "schedule_task", **given)
    assert refused.error is not None
    assert error in refused.error
    assert answer(db)["status"] == "failed"
    assert answer(db)["result"] == {"error": refused.error}
    assert [message.trigger for message in refused.opened] == [True]
    assert tasks.count_open(db) == 0


@pytest.mark.parametrize(
    "content", ["[]", "nothing", '{"action": 5}', '{"action": "\\ud800"}', "{}", "[" * 9999]
)
def test_malformed_requests_are_refused(db: apsw.Connection, content: str) -> None:
    refused = actions.perform(
        db, MessageOut("out-1", 1, "system", None, content, None, None), ActionContext(NOW, "UTC")
    )
    assert refused
    assert refused.error is not None
    assert answer(db)["status"] == "failed"


def test_an_unknown_action_is_refused_with_the_names_of_the_known_ones(db: apsw.Connection) -> None:
    error = asks(db, "format_disk").error
    assert error is not None
    assert "'format_disk'" in error
    assert "schedule_task" in error


def test_half_an_emoji_is_no_reason_to_fail(db: apsw.Connection) -> None:
    assert "?" in scheduled(db, prompt="water \ud83d").content


def test_an_id_is_given_once(db: apsw.Connection) -> None:
    scheduled(db)
    error = asks(db, "schedule_task", taskId="task-1", prompt="p", recurrence="@daily").error
    assert error == "a task with this taskId exists already; choose another taskId"


def test_there_are_so_many_tasks_and_no_more(db: apsw.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_requests, "MAX_TASKS", 1)
    scheduled(db)
    error = asks(db, "schedule_task", taskId="task-2", prompt="p", recurrence="@daily").error
    assert error == "there are 1 open tasks; cancel some first"


def test_a_request_that_is_performed_twice_is_answered_once(db: apsw.Connection) -> None:
    scheduled(db)
    assert [m.id for m in asks(db, "pause_task", taskId="task-1").opened] == ["answer-out-1"]
    assert asks(db, "pause_task", taskId="task-1").opened == []


# -- changes -------------------------------------------------------------------


def test_a_cancelled_task_is_open_no_more(db: apsw.Connection) -> None:
    scheduled(db)
    assert asks(db, "cancel_task", taskId="task-1").closed == ["task-1"]
    assert tasks.named(db, "task-1") == []
    error = asks(db, "cancel_task", id_="out-2", taskId="task-1").error
    assert error == "there is no open task 'task-1'"


def test_a_paused_task_does_not_run_until_it_is_resumed(db: apsw.Connection) -> None:
    task = scheduled(db)
    assert asks(db, "pause_task", taskId="task-1").closed == ["task-1"]
    assert [m.id for m in messages_in.open_messages(db)] == ["answer-out-0", "answer-out-1"]
    resumed = asks(db, "resume_task", id_="out-2", at=on(9), taskId="task-1")
    assert resumed.opened[0] == task.message
    assert asks(db, "resume_task", id_="out-3", taskId="task-1").error == "the task is not paused"


def test_a_resumed_task_that_does_not_catch_up_continues_with_its_next_slot(db: apsw.Connection) -> None:
    scheduled(db, catchUp="none")
    asks(db, "pause_task", taskId="task-1")
    asks(db, "resume_task", id_="out-2", at=on(9, 10), taskId="task-1")
    assert the_task(db).slot == on(10)
    assert answer(db, "out-2")["result"]["nextRun"] == "2026-01-10T09:00:00.000Z"


def test_a_changed_recurrence_moves_the_next_run(db: apsw.Connection) -> None:
    scheduled(db)
    asks(db, "update_task", taskId="task-1", recurrence="0 18 * * *", prompt="water more")
    task = the_task(db)
    assert (task.slot, task.message.process_after) == (on(1, 18), on(1, 18))
    assert task.series_id == "task-1"
    assert json.loads(task.content) == {"prompt": "water more"}


@pytest.mark.parametrize(
    ("change", "content"),
    [
        ({"script": "date"}, {"prompt": "water", "script": "date"}),
        ({"prompt": "feed"}, {"prompt": "feed", "script": "uptime"}),
        ({"script": ""}, {"prompt": "water"}),
        ({"script": "", "prompt": "feed"}, {"prompt": "feed"}),
        ({"zone": "UTC"}, {"prompt": "water", "script": "uptime"}),
    ],
)
def test_the_script_of_a_task_changes_goes_or_stays(
    db: apsw.Connection, change: dict[str, Any], content: dict[str, str]
) -> None:
    scheduled(db, script="uptime")
    assert asks(db, "update_task", id_="out-2", taskId="task-1", **change).error is None
    assert json.loads(the_task(db).content) == content


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (" ", "script must have"),
        (5, "script must be a string"),
        ("x" * 100_001, "script must have 1 to 100,000"),
    ],
)
def test_a_bad_script_changes_nothing(db: apsw.Connection, script: object, error: str) -> None:
    scheduled(db, script="uptime")
    refused = asks(db, "update_task", id_="out-2", taskId="task-1", prompt="feed", script=script)
    assert refused.error is not None
    assert error in refused.error
    assert json.loads(the_task(db).content) == {"prompt": "water", "script": "uptime"}


@pytest.mark.parametrize("clears", [None, ""])
def test_a_recurrence_of_null_makes_it_a_task_that_runs_once(db: apsw.Connection, clears: str | None) -> None:
    before = scheduled(db, catchUp="none")
    asks(db, "update_task", id_="out-2", taskId="task-1", recurrence=clears)
    assert (the_task(db).recurrence, the_task(db).slot) == (None, before.slot)
    assert answer(db, "out-2")["result"]["changed"] == ["recurrence"]


def test_a_script_of_null_is_removed(db: apsw.Connection) -> None:
    scheduled(db, script="uptime")
    asks(db, "update_task", id_="out-2", taskId="task-1", script=None)
    assert json.loads(the_task(db).content) == {"prompt": "water"}
    assert answer(db, "out-2")["result"]["changed"] == ["script"]


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        ({}, []),
        ({"prompt": "water", "script": None, "recurrence": "0 9 * * *", "catchUp": "skip"}, []),
        ({"processAfter": "2026-01-02T09:00:00Z"}, []),
        ({"prompt": None, "catchUp": None, "zone": None, "processAfter": None}, []),
        ({"prompt": "feed", "script": "date", "catchUp": "none"}, ["prompt", "script", "catchUp"]),
        ({"processAfter": "2h"}, ["processAfter"]),
        ({"recurrence": "5m"}, ["processAfter", "recurrence"]),
        ({"zone": "Asia/Tokyo"}, ["processAfter", "zone"]),
    ],
)
def test_the_answer_to_an_update_names_what_has_changed(
    db: apsw.Connection, change: dict[str, Any], changed: list[str]
) -> None:
    scheduled(db)
    assert asks(db, "update_task", id_="out-2", taskId="task-1", **change).error is None
    assert answer(db, "out-2")["result"]["changed"] == changed


@pytest.mark.parametrize(("written", "stored"), [("@every 5m", "@every 300"), ("1h30m", "@every 5400")])
def test_a_duration_is_stored_as_every_so_many_seconds(
    db: apsw.Connection, written: str, stored: str
) -> None:
    task = scheduled(db, recurrence=written)
    assert task.recurrence == stored
    assert task.slot == NOW + timedelta(seconds=float(stored.removeprefix("@every ")))


@pytest.mark.parametrize(("delay", "after"), [("2m", 120), ("1h30m", 5400), ("90 s", 90)])
def test_a_delay_counts_from_now(db: apsw.Connection, delay: str, after: float) -> None:
    assert scheduled(db, recurrence=None, processAfter=delay).slot == NOW + timedelta(seconds=after)


# -- what never runs late ------------------------------------------------------

PAST = "2026-01-01T11:00:00Z"


def test_a_task_that_would_never_run_is_refused(db: apsw.Connection) -> None:
    given: dict[str, Any] = {"taskId": "task-1", "prompt": "p", "processAfter": PAST, "catchUp": "none"}
    refused = asks(db, "schedule_task", **given)
    assert refused.error == (
        "the time 2026-01-01T11:00:00.000Z is past, and with catch-up none the task never runs late; "
        "choose a later time, or catch-up skip"
    )
    assert tasks.count_open(db) == 0
    assert asks(db, "schedule_task", id_="out-2", **{**given, "catchUp": "skip"}).error is None


@pytest.mark.parametrize("at", [NOW, NOW - timedelta(seconds=59)])
def test_a_task_for_this_minute_is_not_late(db: apsw.Connection, at: datetime) -> None:
    assert scheduled(db, recurrence=None, processAfter=at.isoformat(), catchUp="none").slot == at


@pytest.mark.parametrize(
    ("first", "change"),
    [
        ({"processAfter": "2026-01-05T00:00:00Z", "catchUp": "none"}, {"processAfter": PAST}),
        ({"processAfter": PAST}, {"catchUp": "none"}),
        ({"processAfter": PAST, "recurrence": "@every 7200"}, {"catchUp": "none", "recurrence": None}),
    ],
)
def test_an_update_after_which_a_task_would_never_run_is_refused(
    db: apsw.Connection, first: dict[str, Any], change: dict[str, Any]
) -> None:
    before = scheduled(db, **{"recurrence": None, **first})
    error = asks(db, "update_task", taskId="task-1", **change).error
    assert error is not None
    assert "is past, and with catch-up none" in error
    assert the_task(db) == before


def test_a_missed_task_that_never_runs_late_cannot_be_resumed(db: apsw.Connection) -> None:
    scheduled(db, recurrence=None, processAfter="2026-01-02T00:00:00Z", catchUp="none")
    asks(db, "pause_task", taskId="task-1")
    error = asks(db, "resume_task", id_="out-2", at=on(3), taskId="task-1").error
    assert error is not None
    assert "is past" in error
    assert the_task(db).paused
    later = "2026-01-05T00:00:00Z"
    assert asks(db, "update_task", id_="out-3", at=on(3), taskId="task-1", processAfter=later).error is None


def test_a_changed_zone_moves_the_next_run(db: apsw.Connection) -> None:
    scheduled(db)
    asks(db, "update_task", taskId="task-1", zone="America/New_York")
    assert the_task(db).slot == on(1, 14)


def test_a_claimed_occurrence_continues_and_the_changed_task_follows_it(db: apsw.Connection) -> None:
    before = scheduled(db)
    done = asks(db, "update_task", taskId="task-1", recurrence="0 18 * * *", claimed=("task-1",))
    at_work, following = tasks.named(db, "task-1")
    assert at_work.recurrence is None
    assert evolve(at_work.message, schedule=before.message.schedule) == before.message
    assert (following.slot, following.recurrence, done.closed) == (on(1, 18), "0 18 * * *", [])
    assert done.opened[0] == following.message


def test_the_occurrence_after_a_claimed_one_is_paused_with_its_task(db: apsw.Connection) -> None:
    scheduled(db)
    asks(db, "pause_task", taskId="task-1", claimed=("task-1",))
    done = asks(db, "update_task", taskId="task-1", recurrence="0 18 * * *", claimed=("task-1",))
    assert (the_task_after(db, "task-1").paused, done.opened) == (True, [])


def test_a_claimed_occurrence_may_be_postponed(db: apsw.Connection) -> None:
    scheduled(db, recurrence=None, processAfter="2026-01-01T11:59:00Z")
    later = "2027-01-01T00:00:00Z"
    asks(db, "update_task", taskId="task-1", processAfter=later, claimed=("task-1",))
    assert the_task_after(db, "task-1").slot == datetime(2027, 1, 1, tzinfo=UTC)
    assert answer(db)["result"]["nextRun"] == "2027-01-01T00:00:00.000Z"


@pytest.mark.parametrize("content", [{"recurrence": "61 61 * * *"}, {"zone": "Mars"}])
def test_a_bad_schedule_is_refused_also_where_the_task_is_being_worked_on(
    db: apsw.Connection, content: dict[str, Any]
) -> None:
    before = scheduled(db)
    assert asks(db, "update_task", taskId="task-1", claimed=("task-1",), **content).error is not None
    assert the_task(db) == before


@pytest.mark.parametrize(
    ("start", "catch_up", "hour"),
    [
        ("0001-01-01T00:30:00Z", "skip", 11.5),
        ("0001-01-01T00:30:00Z", "none", 12.5),
        ("2026-01-01T11:59:00Z", "skip", 12 - 1 / 60),
    ],
)
def test_only_the_latest_past_slot_of_a_series_may_run_late(
    db: apsw.Connection, start: str, catch_up: str, hour: float
) -> None:
    task = scheduled(db, processAfter=start, recurrence="@every 3600", catchUp=catch_up)
    assert task.slot == on(1, 0) + timedelta(hours=hour)


@pytest.mark.parametrize(("recurrence", "refused"), [("@every 59", True), ("* * * * *", False)])
def test_catch_up_all_is_refused_for_short_intervals(
    db: apsw.Connection,
    recurrence: str,
    refused: bool,  # noqa: FBT001 -- pytest
) -> None:
    given: dict[str, Any] = {"taskId": "task-1", "prompt": "p", "recurrence": recurrence}
    error = asks(db, "schedule_task", catchUp="all", **given).error
    assert (error is not None and "once a minute" in error) == refused


def test_a_task_may_become_one_that_runs_once(db: apsw.Connection) -> None:
    scheduled(db)
    asks(db, "update_task", taskId="task-1", recurrence="", processAfter="2026-02-01T00:00:00Z")
    assert (the_task(db).recurrence, the_task(db).slot) == (None, datetime(2026, 2, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ({"recurrence": "0 99 * * *"}, "'99' is not a valid hour"),
        ({"zone": "Mars/Olympus"}, "not a time zone"),
        ({"processAfter": "2026-01-03T09:00:00Z"}, "has run for that time already"),
        ({"prompt": ""}, "prompt must have 1 to 100,000"),
        ({"catchUp": 1}, "catchUp must be a string"),
    ],
)
def test_a_bad_change_changes_nothing(db: apsw.Connection, content: dict[str, Any], error: str) -> None:
    first = scheduled(db, processAfter="2026-01-03T09:00:00Z")
    messages_in.settle(db, first.id, "completed")  # and then the clock went back
    before = tasks.repeat(db, first, "task-2", on(2), NOW, last=True)
    refused = asks(db, "update_task", taskId="task-1", **{"prompt": "other", **content})
    assert refused.error is not None
    assert error in refused.error
    assert the_task(db).message == before
    assert json.loads(the_task(db).content) == {"prompt": "water"}


def test_a_schedule_that_is_set_back_skips_slots_that_have_fired(db: apsw.Connection) -> None:
    first = scheduled(db, processAfter="2026-01-01T18:00:00Z", recurrence="0 18 * * *")
    messages_in.settle(db, first.id, "completed")
    tasks.repeat(db, first, "task-2", on(7), NOW, last=True)
    asks(db, "update_task", taskId="task-1", recurrence="0 18 * * *")
    assert the_task(db).slot == on(2, 18)


def test_a_task_may_be_moved_to_and_fro(db: apsw.Connection) -> None:
    before = scheduled(db)
    for n, hour in enumerate((18, 9, 18, 9)):
        moved = asks(db, "update_task", id_=f"move-{n}", taskId="task-1", recurrence=f"0 {hour} * * *")
        assert moved.opened[0].process_after == the_task(db).slot
        assert the_task(db).slot.hour == hour
    assert the_task(db).slot == before.slot
    assert the_task(db).id != before.id


def test_a_slot_that_a_task_was_moved_away_from_fires_when_its_time_comes(db: apsw.Connection) -> None:
    first = scheduled(db)
    for after in (first.slot, on(3, 8)):  # the 3rd at nine, then at eight, and at nine after all
        task = the_task(db)
        messages_in.settle(db, task.id, "completed")
        recurrence.follow(db, task, None, after, "UTC")
        asks(db, "update_task", id_=f"move-{after}", at=after, taskId="task-1", recurrence="0 8-9 * * *")
    assert the_task(db).slot == on(3)
