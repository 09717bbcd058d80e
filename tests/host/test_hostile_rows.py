"""Rows of a hostile container (contract 6): a bad row affects no other row, and status shows it."""

import json
from math import inf
from pathlib import Path

import pytest

from nanoclaw.records import TextContent
from nanoclaw.store.session import outbound
from nanoclaw.store.session.messages_in import MAX_REPORTS
from tests.host.homes import rows
from tests.host.stage import Stage, Statement, a_stage, assert_says, relaxed, row
from tests.host.test_deliveries import acks, says

# -- messages ------------------------------------------------------------------

ROWS: dict[str, tuple[Statement, str]] = {
    "empty id": (row(id=""), "is not a valid row id"),
    "id of a path": (row(id="../../x"), "is not a valid row id"),
    "id with a NUL": (row(id="a\0b"), "is not a valid row id"),
    "id with a slot": (row(id="a@2026-01-01T00:00:00.000Z"), "is not a valid row id"),
    "id as the host's own": (row(id="notice-x"), "is not a valid row id"),
    "id as a bad row's": (row(id="bad-3"), "is not a valid row id"),
    "long id": (row(id="x" * 129), "is not a valid row id"),
    "huge id": (row(id="x" * 5_000_000), "id has 5,000,000 bytes"),
    "id of bytes": (row(id=b"\xff\xfe"), "not UTF-8"),
    "empty kind": (row(kind=""), "is empty"),
    "huge kind": (row(kind="x" * 5_000_000), "kind has 5,000,000 bytes"),
    "huge content": (row(content="x" * (outbound.MAX_TEXT + 1)), "send it as a file"),
    "content of bytes": (row(content=b"\xc0"), "not UTF-8"),
    "no JSON": (row(content="{"), "not JSON"),
    "deep JSON": (row(content="[" * 190_000), "not JSON"),
    "a million values": (row(content=f'{{"text": "x", "a": [{"[]," * 1_000_000}0]}}'), "200,000 commas"),
    "a number of a million digits": (row(content=f'{{"text": {"9" * 1_000_000}}}'), "not JSON"),
    "a list": (row(content="[]"), "not an object"),
    "text of a number": (row(content='{"text": 5}'), "text is missing"),
    "unknown operation": (row(content='{"operation": "explode"}'), "explode"),
    "time that never was": (row(deliver_after="0001-01-01T00:00:00+14:00"), "outside the years"),
    "time of nonsense": (row(deliver_after="soon"), "soon"),
    "time of a number": (row(deliver_after=5), "'5'"),
    "a schedule of nonsense": (row(recurrence="now and then"), "now and then"),
    "a foreign chat": (row(channel_type="fake", platform_id="good"), "is not a destination"),
    "a chat with a NUL": (row(channel_type="fake", platform_id="bad\0"), "is not a destination"),
    "an even number": (row(seq=2), "is even"),
    "file of a path": (row(content='{"files": ["../x"]}'), "not a valid file name"),
    "file of nothing": (row(content='{"files": ["x"]}'), "cannot be opened"),
    "many files": (row(content=json.dumps({"files": ["a"] * 100})), "has 100 files"),
}


@pytest.mark.parametrize("kind", ROWS)
async def test_a_bad_row_is_refused_with_its_reason_and_the_next_one_delivered(
    tmp_path: Path, kind: str
) -> None:
    statement, reason = ROWS[kind]
    async with a_stage(tmp_path) as stage:
        (stage.paths().outbox / "out").mkdir()
        stage.writes(statement, says("next", 3, None))
        await stage.delivered("next")
        details = await stage.details(lambda details: details.refused)
        assert details.refused == 1
        assert_says(reason, details.last_refused)
        await stage.neighbour_goes_on()
    assert [status for status, _ in stage.ledger().values()] == ["failed", "delivered"]


VALUES: tuple[object, ...] = (5, -5.5, 1e308, b"\xff\xfe", "a\0b", "", None, "\U0001f600" * 1000, 1 << 62)
OPTIONAL = (
    "in_reply_to",
    "deliver_after",
    "recurrence",
    "platform_id",
    "channel_type",
    "thread_id",
    "turn_id",
)


async def test_a_wrong_type_in_any_column_costs_its_own_row_at_most(tmp_path: Path) -> None:
    columns = [("id", "timestamp", "kind", "content"), OPTIONAL]
    given = [(c, v) for names in columns for c in names for v in VALUES if v is not None or c in OPTIONAL]
    attacks = [
        row(**{"id": f"out-{n}", "seq": 2 * n + 1, column: value})
        for n, (column, value) in enumerate(given, 1)
    ]
    async with a_stage(tmp_path) as stage:
        stage.writes(*relaxed("messages_out"), *attacks, says("good", 9001, None))
        await stage.delivered("good")
        details = await stage.details(lambda details: not details.deliveries)
        await stage.neighbour_goes_on()
    assert details.refused == [status for status, _ in stage.ledger().values()].count("failed")
    assert details.refused > 20


NUMBERS: dict[str, tuple[object, str]] = {
    "none": (None, "without a number"),
    "zero": (0, "number 0, below 1"),
    "negative": (-3, "number -3, below 1"),
    "fraction": (4.5, "is a real"),
    "text": ("three", "is a text"),
    "bytes": (b"\xff", "is a blob"),
    "far ahead": (5_000_001, "number 5000001, more than 1,000,000 above"),
    "the last one": ((1 << 63) - 1, "more than 1,000,000 above"),
}


@pytest.mark.parametrize("kind", NUMBERS)
async def test_a_row_with_an_impossible_number_is_never_read_and_status_says_so(
    tmp_path: Path, kind: str
) -> None:
    seq, reason = NUMBERS[kind]
    async with a_stage(tmp_path) as stage:
        stage.writes(row(id="never", seq=seq), says("good", 1, None))
        await stage.delivered("good")
        details = await stage.details(lambda details: details.ignored)
        assert_says(reason, details.ignored)
        await stage.channel.say("y", chat="bad")
        await stage.neighbour_goes_on()
        stage.writes(("DELETE FROM messages_out WHERE id = 'never'", {}))
        await stage.details(lambda details: details.ignored is None)
    assert "never" not in stage.ids()
    numbers = [seq for (seq,) in rows(stage.paths().inbound_db, "SELECT seq FROM messages_in ORDER BY seq")]
    assert numbers == [2, 4]


async def test_ids_like_the_hosts_marks_move_none_of_them(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    ids = ["seq", "outbound_seq", "refused", "last_refused"]
    async with stage.life():
        stage.writes(row(id="", seq=1), *[says(id_, 2 * n + 3, None) for n, id_ in enumerate(ids)])
        await stage.delivered(ids[-1])
        await stage.details(lambda details: not details.deliveries)
    kept = rows(stage.paths().inbound_db, "SELECT key, value FROM meta WHERE key <> 'last_refused'")
    assert {("outbound_seq", "9"), ("refused", "1")} < set(kept)
    async with stage.life():
        stage.writes(says("next", 21, None))
        await stage.delivered("next")
        details = await stage.details(lambda details: details.refused)
        await stage.channel.say("y", chat="bad")
    assert stage.ids() == [*ids, "next"]
    assert details.refused == 1
    [(low, high)] = rows(
        stage.paths().inbound_db, "SELECT min(seq), max(seq) FROM messages_in WHERE kind = 'chat'"
    )
    assert (low, high > 20) == (2, True)


async def test_an_id_that_comes_again_is_neither_sent_nor_done_again(tmp_path: Path) -> None:
    task = row(
        id="twice", seq=1, kind="system",
        content=json.dumps({"action": "schedule_task", "prompt": "p", "recurrence": "@daily"}),
    )  # fmt: skip
    async with a_stage(tmp_path) as stage:
        stage.writes(task, says("once", 3, None))
        await stage.delivered("once")
        stage.writes(
            ("DELETE FROM messages_out", {}),
            (task[0], {**task[1], "seq": 5}),
            says("once", 7, None),
            says("good", 9, None),
        )
        await stage.delivered("good")
        details = await stage.details(lambda details: details.refused == 2)
        assert_says("id once was used before|id twice was used before", details.last_refused)
    assert stage.ids() == ["once", "good"]
    tasks = rows(stage.paths().inbound_db, "SELECT count(*) FROM messages_in WHERE kind = 'task'")
    assert tasks == [(1,)]


async def test_an_id_that_is_there_twice_is_sent_once(tmp_path: Path) -> None:
    async with a_stage(tmp_path) as stage:
        stage.writes(
            *relaxed("messages_out"), says("twin", 1, None), says("twin", 3, None), says("good", 5, None)
        )
        await stage.delivered("good")
        details = await stage.details(lambda details: details.refused)
        assert_says("id twin was used before", details.last_refused)
    assert stage.ids() == ["twin", "good"]


async def test_a_row_is_sent_as_first_read_and_after_a_restart_as_reread(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.channel.fail("unavailable", times=inf, chat="bad")
    async with stage.life(delivery={"backoff_s": (0.05,) * 200}):
        stage.writes(
            *[says(id_, 2 * n + 1, None) for n, id_ in enumerate(("kept", "gone", "moved", "broken"))]
        )
        await stage.channel.wait_attempts(1)
    stage.writes(
        ("DELETE FROM messages_out WHERE id = 'gone'", {}),
        ("UPDATE messages_out SET channel_type = 'fake', platform_id = 'good' WHERE id = 'moved'", {}),
        ("UPDATE messages_out SET content = x'ff' WHERE id = 'broken'", {}),
    )
    stage.channel.heal()
    async with stage.life(delivery={"backoff_s": (0.05,) * 200}):
        await stage.delivered("kept")
        await stage.details(lambda details: details.refused == 3)
    ledger = {id_: str(error) for id_, (_, error) in stage.ledger().items()}
    assert "is gone from outbound.db" in ledger["gone"]
    assert "is not a destination" in ledger["moved"]
    assert "not UTF-8" in ledger["broken"]
    assert stage.ids() == ["kept"]


async def test_rows_that_change_their_numbers_do_not_keep_the_host_looking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(tmp_path)
    stage.channel.fail("unavailable", times=inf, chat="bad")
    async with stage.life(delivery={"backoff_s": (0.05,) * 200}):
        stage.writes(*[says(f"out-{n}", 2 * n + 1, None) for n in range(5)])
        await stage.channel.wait_attempts(1)
    stage.writes(("UPDATE messages_out SET seq = -seq", {}))
    stage.channel.heal()
    monkeypatch.setattr(outbound, "LOOK_BYTES", 10)
    async with stage.life(delivery={"backoff_s": (0.05,) * 200}):
        await stage.details(lambda details: not details.deliveries)
        await stage.neighbour_goes_on()
    assert sorted(stage.ids())[-5:] == [f"out-{n}" for n in range(5)]


async def test_thousands_of_bad_rows_delay_no_other_session(tmp_path: Path) -> None:
    async with a_stage(tmp_path) as stage:
        stage.writes(*[row(id=f"../{n}", seq=2 * n + 1) for n in range(3000)])
        await stage.details(lambda details: details.refused)
        await stage.neighbour_goes_on()
        details = await stage.details(lambda _: True)
        assert details.refused < 3000, "the neighbour has waited for all of them"


async def test_an_agent_gets_at_most_a_hundred_reports_of_failures(tmp_path: Path) -> None:
    async with a_stage(tmp_path) as stage:
        stage.writes(*[row(id=f"../{n}", seq=2 * n + 1) for n in range(MAX_REPORTS + 50)])
        await stage.details(lambda details: details.refused == MAX_REPORTS + 50)
        await stage.neighbour_goes_on()
    told = rows(stage.paths().inbound_db, "SELECT count(*) FROM messages_in WHERE kind = 'system'")
    assert told == [(MAX_REPORTS,)]


@pytest.mark.parametrize("content", ['{"action": "explode"}', "5", "{", f'{{"a": [{"[]," * 200_000}0]}}'])
async def test_a_bad_request_fails_with_its_reason_and_the_next_row_is_delivered(
    tmp_path: Path, content: str
) -> None:
    async with a_stage(tmp_path) as stage:
        stage.writes(row(kind="system", content=content), says("next", 3, None))
        await stage.delivered("next")
        await stage.neighbour_goes_on()
    status, error = stage.ledger()["out"]
    assert (status, bool(error)) == ("failed", True)


async def test_half_a_character_does_not_reach_a_channel(tmp_path: Path) -> None:
    async with a_stage(tmp_path) as stage:
        stage.writes(says("half", 1, None, r'{"text": "a\ud800b"}'))
        await stage.delivered("half")
    [content] = [one.content for one in stage.channel.sent]
    assert isinstance(content, TextContent)
    assert content.text == "a?b"


# -- acks ----------------------------------------------------------------------

ACK = """
    INSERT OR REPLACE INTO processing_ack (message_id, status, status_changed, attempt)
    VALUES (:id, :status, '', :attempt)
    """


@pytest.mark.parametrize("status", ["done", "", b"\xff", 5, "x" * 5_000_000, "completed\0"])
async def test_an_ack_of_an_unknown_status_settles_nothing_and_status_says_so(
    tmp_path: Path, status: object
) -> None:
    async with a_stage(tmp_path) as stage:
        message = stage.messages["bad"]
        stage.writes((ACK, {"id": message, "status": status, "attempt": 0}), says("good", 1, None))
        await stage.delivered("good")
        details = await stage.details(lambda details: details.ignored)
        assert_says(f"an ack of '{message}'", details.ignored)
        assert (details.pending, details.working_on) == (1, 0)
        stage.writes(acks(message, "completed"))
        details = await stage.details(lambda details: not details.pending)
        assert details.ignored is None
        await stage.neighbour_goes_on()


async def test_acks_of_other_messages_and_attempts_settle_nothing(tmp_path: Path) -> None:
    async with a_stage(tmp_path) as stage:
        message, neighbours = stage.messages["bad"], stage.messages["good"]
        wrong = [(message, 7), ("in-nowhere", 0), (neighbours, 0), ("", 0), ("seq", None), ("a\0b", 0)]
        for n, status in enumerate(("completed", "failed", "processing")):
            given = [(ACK, {"id": id_, "status": status, "attempt": attempt}) for id_, attempt in wrong]
            stage.writes(*given, says(f"after-{status}", 2 * n + 1, None))
            await stage.delivered(f"after-{status}")
            details = await stage.details(lambda _: True)
            assert (details.pending, details.working_on) == (1, 0)
        await stage.neighbour_goes_on()


async def test_a_message_that_is_acked_many_times_is_settled_once(tmp_path: Path) -> None:
    async with a_stage(tmp_path) as stage:
        twice = [acks(stage.messages["bad"], status) for status in ("completed", "failed", "processing")]
        stage.writes(*relaxed("processing_ack"), *twice)
        await stage.details(lambda details: not details.pending)
        assert await stage.channel.wait_settled("first-bad") == "completed"
        await stage.neighbour_goes_on()
    assert not [id_ for id_ in stage.ids() if id_.startswith("notice-")]


async def test_a_tools_time_out_of_any_type_is_borne(tmp_path: Path) -> None:
    async with a_stage(tmp_path) as stage:
        for n, value in enumerate((b"\xff", "soon", -5, 1 << 62, 0.5, "x" * 1_000_000)):
            tool = "INSERT OR REPLACE INTO container_state (id, tool_declared_timeout_ms) VALUES (1, :value)"
            stage.writes((tool, {"value": value}), says(f"after-{n}", 2 * n + 1, None))
            await stage.delivered(f"after-{n}")
        await stage.neighbour_goes_on()
