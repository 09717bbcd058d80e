"""Locks, journals, migrations and the cost of queries."""

from collections.abc import Callable
from contextlib import closing

import apsw
import pytest
import trio
import trio.lowlevel

from agent_runner.errors import DatabaseError, NewerDatabaseError, OwnerError, StoreBusyError
from agent_runner.lock import hold_lock
from agent_runner.providers import Toolbox
from agent_runner.records import Reply, Result, Turn
from agent_runner.runner import run_runner
from agent_runner.store import open_outbound
from tests.runner.world import SCHEMA, Listener, Script, World, at, leave_hot_journal

# -- ownership -----------------------------------------------------------------


async def test_a_second_runner_waits_three_seconds_for_the_first_and_gives_up(world: World) -> None:
    async with world.running():
        await trio.sleep(1)
        with pytest.raises(OwnerError, match="another runner"):
            await run_runner(world.config, world.seams(Listener()))
        assert trio.current_time() == pytest.approx(4, abs=0.1)


async def test_a_runner_takes_over_when_the_old_one_is_gone_in_time(world: World) -> None:
    message = world.put(2)
    async with trio.open_nursery() as nursery, hold_lock(world.config.owner_lock):
        nursery.start_soon(world.serve, Listener(), message)
        await trio.sleep(2)
        assert world.acks() == {}
    assert world.texts() == ["echo: hi"]


# -- locks and journals --------------------------------------------------------


async def test_a_host_in_mid_commit_is_waited_for(world: World) -> None:
    world.put(2)
    with closing(apsw.Connection(str(world.config.inbound_db))) as host:
        host.execute("BEGIN EXCLUSIVE")
        async with world.running():
            await trio.sleep(60)
            assert world.acks() == {}
            host.execute("COMMIT")
            await world.until_acked("in-2")
            assert trio.current_time() == pytest.approx(60, abs=2)


async def test_a_host_that_died_in_mid_commit_is_waited_for(world: World) -> None:
    leave_hot_journal(world.config.inbound_db)
    async with world.running():
        await trio.sleep(60)
        assert world.acks() == {}
        await world.until_acked(world.put(4))
        assert trio.current_time() == pytest.approx(60, abs=2)


async def test_an_inbound_file_that_comes_later_is_waited_for(world: World) -> None:
    aside = world.root / "later.db"
    world.config.inbound_db.rename(aside)
    async with world.running():
        await trio.sleep(60)
        aside.rename(world.config.inbound_db)
        await world.until_acked(world.put(2))


async def test_a_host_that_dies_while_a_turn_is_open_does_not_delay_its_answer(world: World) -> None:
    async def act(turn: Turn, _tools: Toolbox) -> Result:
        leave_hot_journal(world.config.inbound_db)
        return Result((Reply("done", turn.messages[0].id),))

    await world.serve(Script(act), world.put(2))
    assert world.texts() == ["done"]


async def test_the_hot_journal_of_a_killed_runner_is_rolled_back(world: World) -> None:
    leave_hot_journal(world.config.outbound_db)
    message = world.put(2)
    assert world.config.outbound_db.with_name("outbound.db-journal").exists()
    async with world.running():
        await world.until(lambda: world.executor.commits == 2)
    assert world.acks() == {message: "completed"}
    assert world.texts() == ["echo: hi"]


def reading(world: World, seconds: float, turns: list[str]) -> Script:
    """A provider during whose turn a reader locks outbound.db for a time."""

    async def act(turn: Turn, _tools: Toolbox) -> Result:
        turns.append(turn.turn_id)
        reader = apsw.Connection(str(world.config.outbound_db), apsw.SQLITE_OPEN_READONLY)
        reader.execute("BEGIN; SELECT * FROM processing_ack").fetchall()
        trio.lowlevel.spawn_system_task(close_later, reader, seconds)
        return Result((Reply("done", turn.messages[0].id),))

    return Script(act)


async def close_later(reader: apsw.Connection, seconds: float) -> None:
    await trio.sleep(seconds)
    reader.close()


async def test_a_commit_waits_for_a_reader_and_is_not_run_again(world: World) -> None:
    turns: list[str] = []
    begun: list[int] = []
    world.executor.on_commit = lambda n, when: begun.append(n) if when == "before" else None
    async with world.running(reading(world, 4, turns)):
        message = world.put(2)
        await trio.sleep(3.9)
        assert world.executor.commits == 1
        await trio.sleep(1)
        assert world.acks() == {message: "completed"}
    assert begun == [1, 2]
    assert len(turns) == 1


async def test_a_reader_that_never_ends_stops_the_runner_with_a_clear_error(world: World) -> None:
    world.put(2)
    with pytest.raises(StoreBusyError, match=r"outbound\.db was locked for 5 s"):
        await run_runner(world.config, world.seams(reading(world, 6, [])))
    await trio.sleep(10)
    assert world.acks() == {"in-2": "processing"}
    assert world.texts() == []


async def test_a_runner_that_is_killed_while_its_commit_waits_leaves_nothing(world: World) -> None:
    async with world.running(reading(world, 4, [])):
        world.put(2)
        await trio.sleep(2)
    await trio.sleep(10)
    assert world.acks() == {"in-2": "processing"}
    assert not world.config.outbound_db.with_name("outbound.db-journal").exists()


# -- migrations ----------------------------------------------------------------

FOREIGN = """
  DROP TABLE messages_out; DROP TABLE processing_ack; DROP TABLE session_state; DROP TABLE container_state;
  DROP TABLE events; DROP TABLE meta;
  CREATE TABLE messages_out (
    id TEXT PRIMARY KEY, seq INTEGER UNIQUE, in_reply_to TEXT, timestamp TEXT NOT NULL,
    deliver_after TEXT, recurrence TEXT, kind TEXT NOT NULL,
    platform_id TEXT, channel_type TEXT, thread_id TEXT, content TEXT NOT NULL);
  CREATE TABLE processing_ack (
    message_id TEXT PRIMARY KEY, status TEXT NOT NULL, status_changed TEXT NOT NULL);
  CREATE TABLE session_state (key TEXT PRIMARY KEY, value TEXT NOT NULL);
  INSERT INTO messages_out VALUES
    ('old', 41, NULL, '2025-01-01 00:00:00', NULL, NULL, 'chat', 'c', 'tg', NULL, '{}');
  INSERT INTO processing_ack VALUES ('in-2', 'completed', '2025-01-01 00:00:00');
  INSERT INTO session_state VALUES ('resume', 'abc');
  PRAGMA user_version = 0;
"""


async def test_the_file_of_another_build_is_brought_up_to_date_and_loses_nothing(world: World) -> None:
    with world.outbound() as connection:
        connection.execute(FOREIGN).fetchall()
    provider = Listener()
    world.put(2)
    await world.serve(provider, world.put(4))
    assert provider.heard == [["in-4"]]
    assert world.out("SELECT seq, id IS 'old' FROM messages_out ORDER BY seq") == [(41, 1), (43, 0)]
    assert world.out("SELECT key, value, updated_at FROM session_state") == [("resume", "abc", None)]
    assert world.out("PRAGMA user_version") == [(1,)]
    with closing(apsw.Connection(":memory:")) as model:
        model.execute((SCHEMA / "outbound" / "001-initial.sql").read_text()).fetchall()
        assert shape(model.execute) == shape(world.out)


REQUIRING = """
  DROP TABLE messages_out; DROP TABLE processing_ack; DROP TABLE session_state; DROP TABLE container_state;
  DROP TABLE events; DROP TABLE meta;
  CREATE TABLE messages_out (
    id TEXT PRIMARY KEY, seq INTEGER UNIQUE, in_reply_to TEXT, timestamp TEXT NOT NULL,
    deliver_after TEXT, recurrence TEXT, kind TEXT NOT NULL, platform_id TEXT, channel_type TEXT,
    thread_id TEXT, content TEXT NOT NULL, priority INTEGER NOT NULL, origin TEXT NOT NULL);
  CREATE TABLE processing_ack (
    message_id TEXT PRIMARY KEY, status TEXT NOT NULL, status_changed TEXT NOT NULL, runner TEXT NOT NULL);
  CREATE TABLE session_state (key TEXT PRIMARY KEY, value TEXT NOT NULL, updated_at TEXT NOT NULL);
  CREATE TABLE container_state (
    id INTEGER PRIMARY KEY CHECK (id = 1), current_tool TEXT, tool_declared_timeout_ms INTEGER,
    tool_started_at TEXT, turn TEXT, updated_at TEXT NOT NULL);
  CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL, changed_at TEXT NOT NULL);
  CREATE TABLE events (id INTEGER PRIMARY KEY, at TEXT NOT NULL, level REAL NOT NULL);
"""


@pytest.mark.parametrize("version", [0, 1], ids=["without a version", "with our version"])
async def test_columns_that_another_build_requires_are_filled(world: World, version: int) -> None:
    with world.outbound() as connection:
        connection.execute(f"{REQUIRING} PRAGMA user_version = {version};").fetchall()
    shown = list[tuple[object, ...]]()

    async def act(turn: Turn, tools: Toolbox) -> Result:
        await tools.call("send_message", {"text": "at once"})
        return Result((Reply("at the end", turn.messages[0].id),), state={"resume": "abc"})

    def look(_n: int, when: str) -> None:
        if when == "after":
            shown.extend(world.out("SELECT current_tool, updated_at FROM container_state"))

    world.executor.on_commit = look
    await world.serve(Script(act), world.put(2))
    assert world.texts() == ["at once", "at the end"]
    assert shown[0] == ("send_message", at(0))
    assert world.out("SELECT DISTINCT priority, origin FROM messages_out") == [(0, "")]
    assert world.out("SELECT status, runner FROM processing_ack") == [("completed", "")]
    assert world.out("SELECT DISTINCT changed_at FROM meta") == [(at(0),)]
    assert world.out("SELECT DISTINCT level FROM events") == [(0.0,)]


def shape(query: Callable[[str], object]) -> list[object]:
    """Return every column and index of a database."""
    sql = """
      SELECT m.name, c.name FROM sqlite_schema AS m, pragma_table_info(m.name) AS c ORDER BY m.name, c.name
    """
    return list(query(sql))  # type: ignore[call-overload, no-any-return]  # a cursor or a list


async def test_an_empty_file_gets_the_whole_schema(world: World) -> None:
    world.config.outbound_db.write_bytes(b"")
    await a_message_is_answered(world)


async def test_a_file_from_the_future_is_refused_untouched(world: World) -> None:
    with world.outbound() as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(NewerDatabaseError, match="version 99; this runner knows 1"):
        await run_runner(world.config, world.seams(Listener()))
    assert world.executor.commits == 0


async def test_a_migration_that_is_killed_begins_again(world: World) -> None:
    world.config.outbound_db.write_bytes(b"")

    def fail(_n: int, when: str) -> None:
        if when == "before":
            raise OSError("power cut")

    world.executor.on_commit = fail
    with pytest.raises(OSError, match="power cut"):
        await run_runner(world.config, world.seams(Listener()))
    assert world.out("SELECT count(*) FROM sqlite_schema") == [(0,)]
    world.executor.on_commit = None
    await a_message_is_answered(world)


async def a_message_is_answered(world: World) -> None:
    world.put(2)
    async with world.running():
        await world.until(lambda: world.executor.commits == 3)
    assert world.texts() == ["echo: hi"]


async def test_a_damaged_file_stops_the_runner_with_a_clear_error(world: World) -> None:
    world.config.outbound_db.write_bytes(b"not a database" * 100)
    with pytest.raises(DatabaseError, match=r"outbound\.db: file is not a database"):
        await run_runner(world.config, world.seams(Listener()))
    with world.config.inbound_db.open("r+b") as file:
        file.write(b"x" * 100)
    world.config.outbound_db.unlink()
    with pytest.raises(DatabaseError, match=r"inbound\.db: file is not a database"):
        await run_runner(world.config, world.seams(Listener()))


async def test_a_change_that_meets_a_lock_is_made_again_from_the_start(world: World) -> None:
    tries: list[int] = []

    def change(connection: apsw.Connection) -> None:
        connection.execute("INSERT INTO meta VALUES (?, '')", (f"try-{len(tries)}",))
        tries.append(1)
        if len(tries) < 3:
            raise apsw.BusyError

    async with open_outbound(world.config.outbound_db, world.executor) as outbound:
        await outbound.write(change)
    assert world.out("SELECT key FROM meta") == [("try-2",)]
