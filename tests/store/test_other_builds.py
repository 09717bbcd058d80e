"""The host reads an outbound.db of another build, whose runner never adds our columns and tables."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import apsw
import pytest

from nanoclaw.store import create_outbound, open_untrusted
from nanoclaw.store.session import views
from nanoclaw.store.session.outbound import Ack, Look, MessageOut, look
from nanoclaw.testing.world.executor import InlineExecutor
from tests.store.openings import paths_in

SEED = """
    CREATE TABLE messages_out (
      id TEXT PRIMARY KEY, seq INTEGER UNIQUE, in_reply_to TEXT, timestamp TEXT NOT NULL, deliver_after TEXT,
      recurrence TEXT, kind TEXT NOT NULL, platform_id TEXT, channel_type TEXT, thread_id TEXT,
      content TEXT NOT NULL
    );
    CREATE TABLE processing_ack (
      message_id TEXT PRIMARY KEY, status TEXT NOT NULL, status_changed TEXT NOT NULL
    );
    CREATE TABLE session_state (key TEXT PRIMARY KEY, value TEXT NOT NULL, updated_at TEXT NOT NULL);
"""
TOOL = """
    CREATE TABLE container_state (
      id INTEGER PRIMARY KEY CHECK (id = 1), current_tool TEXT, tool_declared_timeout_ms INTEGER,
      tool_started_at TEXT, updated_at TEXT NOT NULL
    );
    INSERT INTO container_state VALUES (1, 'Bash', 600000, '2026-01-01 12:00:00', '2026-01-01 12:00:00');
"""
ROW = """
    INSERT INTO messages_out (id, seq, timestamp, kind, content)
    VALUES ('out-1', 1, '2026-01-01 12:00:00', 'chat', '{"text":"hello"}')
"""
ACK = "INSERT INTO processing_ack VALUES ('in-2', 'processing', '2026-01-01 12:00:00')"


T = TypeVar("T")


async def read(tmp_path: Path, query: Callable[[apsw.Connection], T], *statements: str) -> T:
    """Return what the host reads in a file that these statements make."""
    paths = paths_in(tmp_path)
    create_outbound(paths, owner=None)
    paths.outbound_db.unlink()
    connection = apsw.Connection(str(paths.outbound_db))
    for statement in ("PRAGMA journal_mode = DELETE", *statements):
        connection.execute(statement).fetchall()
    connection.close()
    async with open_untrusted(paths.outbound_db, InlineExecutor()) as reader:
        return await reader.run(query)


async def seen(tmp_path: Path, *statements: str) -> Look:
    query = partial(look, above=0, up_to=100, open_ids=["in-2"], known_ids=["out-1"])
    return await read(tmp_path, query, *statements)


async def test_its_rows_and_acks_are_read(tmp_path: Path) -> None:
    found = await seen(tmp_path, SEED, TOOL, ROW, ACK)
    [row], [again] = found.rows, found.known
    assert isinstance(row, MessageOut)
    assert (row, row.id, row.awaited) == (again, "out-1", False)
    assert found.acks == (Ack("in-2", "processing", None, None, None, "2026-01-01 12:00:00"),)
    assert (found.runner, found.tool_timeout_s, found.outdated) == ("foreign", 600.0, False)


@pytest.mark.parametrize(
    "change", ["", "DROP TABLE container_state", "ALTER TABLE processing_ack ADD attempt"]
)
async def test_it_may_have_any_of_our_additions(tmp_path: Path, change: str) -> None:
    found = await seen(tmp_path, SEED, TOOL, ROW, ACK, change)
    assert ([row.id for row in found.rows], found.runner) == (["out-1"], "foreign")


async def test_a_file_without_acks_tells_of_no_runner(tmp_path: Path) -> None:
    assert (await seen(tmp_path, SEED, ROW)).runner is None


async def test_a_file_without_tables_is_left_to_its_runner(tmp_path: Path) -> None:
    assert (await seen(tmp_path)).outdated


async def test_people_are_shown_what_it_has(tmp_path: Path) -> None:
    def shown(connection: apsw.Connection) -> tuple[list[str], list[views.Turn]]:
        return [claim.status for claim in views.claims(connection, ["in-2"])], views.turns(connection)

    assert await read(tmp_path / "seed", shown, SEED, ROW, ACK) == (["processing"], [])
    assert await read(tmp_path / "empty", shown) == ([], [])
