# ruff: noqa: S608 -- all of it constants of these tests

from pathlib import Path

import pytest

from nanoclaw.store import ForeignDatabase, NewerDatabase
from nanoclaw.store.engine.migration_steps import inbound as inbound_migrations
from nanoclaw.testing.world.executor import InlineExecutor
from tests.store.old_databases import FIRST, indexes, made_by_hand, tables
from tests.store.openings import KillAt, Killed, a_session, paths_in

OTHER_BUILD = f"""
CREATE TABLE messages_in (
  id TEXT PRIMARY KEY, seq INTEGER UNIQUE, kind TEXT NOT NULL, timestamp TEXT NOT NULL,
  status TEXT DEFAULT 'pending', process_after TEXT, recurrence TEXT, tries INTEGER DEFAULT 0,
  platform_id TEXT, channel_type TEXT, thread_id TEXT, content TEXT NOT NULL
);
INSERT INTO messages_in (id, seq, kind, timestamp, recurrence, content) VALUES
  ('m-1', 2, 'chat', '{FIRST}', NULL, '{{}}'), ('m-2', 4, 'task', '{FIRST}', '0 9 * * *', '{{}}');
CREATE TABLE delivered (message_out_id TEXT PRIMARY KEY, delivered_at TEXT NOT NULL);
INSERT INTO delivered VALUES ('o-1', '{FIRST}');
CREATE TABLE destinations (
  name TEXT PRIMARY KEY, display_name TEXT, type TEXT NOT NULL, channel_type TEXT, platform_id TEXT,
  agent_group_id TEXT
);
CREATE TABLE theirs (x TEXT);
INSERT INTO theirs VALUES ('kept');
"""


def another_builds(directory: Path) -> Path:
    path = paths_in(directory).inbound_db
    with made_by_hand(path) as connection:
        connection.execute(OTHER_BUILD)
    return path


async def test_another_builds_file_is_completed_without_loss(tmp_path: Path) -> None:
    another_builds(tmp_path / "theirs")
    async with a_session(tmp_path / "ours") as ours, a_session(tmp_path / "theirs") as theirs:
        expected = await ours.run(tables)
        found = await theirs.run(tables)
        assert found.pop("theirs") == ["x"]
        assert found == expected
        assert await theirs.run(indexes) == await ours.run(indexes)
        messages = await theirs.run(
            lambda c: c.execute("SELECT id, series_id, trigger, on_wake, slot FROM messages_in").fetchall()
        )
        assert messages == [("m-1", None, 1, 0, None), ("m-2", "m-2", 1, 0, None)]
        delivered = await theirs.run(lambda c: c.execute("SELECT * FROM delivered ORDER BY 1").fetchall())
        assert sorted(map(str, delivered[0])) == sorted(["o-1", FIRST, "None", "delivered", "None", "None"])
        assert await theirs.run(lambda c: c.execute("SELECT x FROM theirs").get) == "kept"
        newest = inbound_migrations()[-1].number
        assert await theirs.run(lambda c: c.execute("PRAGMA user_version").get) == newest


async def test_the_next_start_completes_an_adoption_cut_short_by_a_kill(tmp_path: Path) -> None:
    path = another_builds(tmp_path)
    with pytest.raises(Killed):
        async with a_session(tmp_path, InlineExecutor(KillAt("before", 2))):
            pass
    with made_by_hand(path) as connection:
        assert "deliveries" not in tables(connection)
    async with a_session(tmp_path) as writer:
        assert "deliveries" in await writer.run(tables)


async def test_a_newer_session_file_is_refused_and_left_unchanged(tmp_path: Path) -> None:
    path = another_builds(tmp_path)
    with made_by_hand(path) as connection:
        connection.execute("PRAGMA user_version = 999").fetchall()
    with pytest.raises(NewerDatabase, match="version 999"):
        async with a_session(tmp_path):
            pass
    with made_by_hand(path) as connection:
        assert "deliveries" not in tables(connection)


async def test_a_file_of_another_program_is_refused_and_left_unchanged(tmp_path: Path) -> None:
    path = paths_in(tmp_path).inbound_db
    with made_by_hand(path) as connection:
        connection.execute("CREATE TABLE songs (title TEXT)")
    with pytest.raises(ForeignDatabase, match=r"not a session's inbound\.db"):
        async with a_session(tmp_path):
            pass
    with made_by_hand(path) as connection:
        assert list(tables(connection)) == ["songs"]


async def test_a_second_owner_finds_nothing_to_do(tmp_path: Path) -> None:
    async with a_session(tmp_path) as writer:
        before = await writer.run(lambda c: c.execute("PRAGMA schema_version").get)
    async with a_session(tmp_path) as writer:
        assert await writer.run(lambda c: c.execute("PRAGMA schema_version").get) == before
