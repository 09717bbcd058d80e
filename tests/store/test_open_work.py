from collections.abc import Callable
from pathlib import Path
from random import Random

import apsw
import pytest

from nanoclaw.records import SessionPaths
from nanoclaw.store import ThreadExecutor, own_inbound
from nanoclaw.store.session.open_work import has_open_work
from nanoclaw.system.clock import SystemClock

MESSAGE = """
INSERT INTO messages_in (id, seq, kind, timestamp, content, status) VALUES ('in-1', 2, 'chat', '', '{}', ?)
"""
DELIVERY = "INSERT INTO deliveries (message_out_id, seq, status) VALUES ('out-1', 3, ?)"


async def session(home: Path) -> Path:
    paths = SessionPaths(home / "session")
    async with own_inbound(paths, executor=ThreadExecutor(), clock=SystemClock(), random=Random(1)):
        return paths.inbound_db


def changed(file: Path, sql: str, *values: str) -> None:
    connection = apsw.Connection(str(file))
    connection.execute(sql, values).fetchall()
    connection.close()


@pytest.mark.parametrize(
    ("sql", "value", "expected"),
    [
        (MESSAGE, "pending", True),
        (MESSAGE, "completed", False),
        (DELIVERY, "unknown", True),
        (DELIVERY, "final", False),
    ],
)
async def test_open_messages_and_deliveries_count_as_work(
    tmp_path: Path, sql: str, value: str, expected: object
) -> None:
    file = await session(tmp_path)
    assert not has_open_work(file)
    changed(file, sql, value)
    assert has_open_work(file) is expected


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: changed(file, "PRAGMA user_version = 0"),
        lambda file: file.write_bytes(b"no database at all" * 1000),
        lambda file: Path(f"{file}-journal").write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + b"\x01" * 600),
    ],
    ids=["another build's", "damaged", "a hot journal"],
)
async def test_a_damaged_file_counts_as_work(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    file = await session(tmp_path)
    damage(file)
    assert has_open_work(file)


def test_a_session_without_files_has_no_work(tmp_path: Path) -> None:
    assert not has_open_work(tmp_path / "inbound.db")
