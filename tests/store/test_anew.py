"""A home whose `v2.db` is lost is not a new home."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random

import apsw
import pytest

from nanoclaw.store import LostDatabase, StoreError, own_central
from nanoclaw.store.engine.anew import check_file
from nanoclaw.testing.world.executor import InlineExecutor
from tests.store.openings import StillClock, central, put

USER = "INSERT INTO users VALUES ('cli:local', 'cli', NULL, '2026-01-01 00:00:00')"


def remove(database: Path) -> None:
    database.unlink()


def truncate(database: Path) -> None:
    database.write_bytes(b"")


def replace_by_an_empty_one(database: Path) -> None:
    database.unlink()
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("VACUUM")


def remove_all_rows(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("DELETE FROM users")
        connection.commit()


LOSSES = [remove, truncate, replace_by_an_empty_one, remove_all_rows]


@pytest.fixture
async def data(tmp_path: Path) -> Path:
    """Return a data directory that was used: it has a user and a session's folder."""
    data = tmp_path / "data"
    async with central(data) as writer:
        await writer.run(insert_user)
    session = data / "sessions" / "ag-1" / "sess-1"
    session.mkdir(parents=True)
    (session / "owner").touch()
    return data


def insert_user(connection: apsw.Connection) -> None:
    connection.execute(USER)


async def begin(data: Path) -> None:
    async with own_central(
        data, executor=InlineExecutor(), clock=StillClock(), random=Random(1), begin_anew=True
    ):
        pass


def old_files(data: Path) -> list[Path]:
    return [*data.glob("before-*")]


def files(folder: Path) -> list[str]:
    return sorted(str(each.relative_to(folder)) for each in folder.rglob("*") if each.name != "owner")


@pytest.mark.parametrize("lose", LOSSES)
async def test_a_lost_database_is_refused_and_nothing_is_written(
    data: Path, lose: Callable[[Path], None]
) -> None:
    lose(data / "v2.db")
    before = files(data)
    with pytest.raises(LostDatabase, match=r"holds 1 session.*--begin-anew"):
        async with central(data):
            pass
    assert files(data) == before


@pytest.mark.parametrize("lose", LOSSES)
async def test_begin_anew_keeps_the_old_files_beside_the_new_ones(
    data: Path, lose: Callable[[Path], None]
) -> None:
    (data / "backups").mkdir()
    lose(data / "v2.db")
    (data / "v2.db-wal").touch()
    await begin(data)
    [kept] = old_files(data)
    assert {"backups", "sessions", "sessions/ag-1/sess-1", "v2.db-wal"} <= set(files(kept))
    assert files(data / "sessions") == []
    async with central(data) as writer:
        await writer.run(put, "key")


async def test_begin_anew_refuses_a_database_in_use(data: Path) -> None:
    with pytest.raises(StoreError, match="is in order"):
        await begin(data)
    assert not old_files(data)


async def test_begin_anew_may_be_repeated_and_used_for_a_new_home(data: Path, tmp_path: Path) -> None:
    await begin(tmp_path / "new")
    for _ in range(2):
        (data / "v2.db").unlink()
        (data / "sessions" / "ag-1" / "sess-1").mkdir(parents=True, exist_ok=True)
        await begin(data)
    assert len(old_files(data)) == 2, "the second folder has a name of its own"


@pytest.mark.parametrize("lose", LOSSES)
async def test_a_home_without_sessions_is_new(data: Path, lose: Callable[[Path], None]) -> None:
    shutil.rmtree(data / "sessions" / "ag-1" / "sess-1")
    lose(data / "v2.db")
    async with central(data) as writer:
        await writer.run(insert_user)


async def test_the_error_names_the_newest_copy_from_before_an_upgrade(data: Path) -> None:
    (data / "backups").mkdir()
    for year in (2024, 2025):
        (data / "backups" / f"v2-{year}0101T000000.000Z.db").touch()
    (data / "v2.db").unlink()
    with pytest.raises(LostDatabase, match=r"v2-20250101T000000.000Z.db is a copy from before an upgrade"):
        check_file(data / "v2.db")


async def test_a_database_that_is_removed_while_its_owner_rests_is_not_made_anew(data: Path) -> None:
    async with central(data) as writer:
        await writer.rest()
        (data / "v2.db").unlink()
        with pytest.raises(LostDatabase):
            await writer.run(put, "key")
