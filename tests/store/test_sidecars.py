"""A sidecar that belongs to another state of its database is found before SQLite applies it."""

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import apsw
import pytest

from nanoclaw.store import StaleSidecar
from nanoclaw.store.engine import sidecars
from tests.store.openings import leave_hot_journal


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "v2.db"


@contextmanager
def life(file: Path, rows: int, mode: str = "WAL") -> Iterator[apsw.Connection]:
    """Write to a database as its owner does, which changes the first page once."""
    with closing(apsw.Connection(str(file))) as connection:
        connection.execute(f"PRAGMA journal_mode = {mode}").fetchall()
        connection.execute("CREATE TABLE IF NOT EXISTS meta (key, value)")
        lives = connection.execute("PRAGMA user_version").get
        connection.execute(f"PRAGMA user_version = {lives + 1}")
        for n in range(rows):
            connection.execute("INSERT INTO meta VALUES (?, ?)", (f"{lives}-{n}", "x" * 200))
        yield connection


def kill(file: Path, rows: int, into: Path) -> Path:
    """Copy the files of a life as a kill would leave them. Return the database."""
    with life(file, rows):
        into.mkdir()
        for each in file.parent.glob(f"{file.name}*"):
            shutil.copy(each, into / each.name)
    return into / file.name


def backup(file: Path) -> Path:
    return Path(shutil.copy(file, file.with_suffix(".backup")))


def content(file: Path) -> list[object]:
    with closing(apsw.Connection(str(file))) as connection:
        assert connection.execute("PRAGMA integrity_check").get == "ok"
        return list(connection.execute("SELECT key FROM meta"))


@pytest.mark.parametrize("rows", [0, 1, 50, 3000])
def test_the_wal_of_a_killed_owner_is_its_own(file: Path, tmp_path: Path, rows: int) -> None:
    with life(file, 5):
        pass
    killed = kill(file, rows, tmp_path / "killed")
    sidecars.check(killed)
    assert len(content(killed)) == rows + 5


@pytest.mark.parametrize("since", [1, 2, 5])
def test_the_wal_of_a_later_life_is_stale_beside_an_older_copy(
    file: Path, tmp_path: Path, since: int
) -> None:
    with life(file, 5):
        pass
    copy = backup(file)
    for _ in range(since):
        with life(file, 3):
            pass
    killed = kill(file, 3, tmp_path / "killed")
    shutil.copy(copy, killed)
    before = killed.read_bytes()
    with pytest.raises(StaleSidecar, match=r"v2.db-wal beside it .* move v2.db-wal and v2.db-shm away"):
        sidecars.check(killed)
    assert killed.read_bytes() == before
    assert Path(f"{killed}-wal").stat().st_size > 0


def test_a_wal_is_stale_beside_a_newer_copy(file: Path, tmp_path: Path) -> None:
    with life(file, 5):
        pass
    killed = kill(file, 3, tmp_path / "killed")
    for _ in range(3):
        with life(file, 3):
            pass
    shutil.copy(file, killed)
    with pytest.raises(StaleSidecar):
        sidecars.check(killed)


def test_a_wal_is_stale_beside_a_copy_of_the_backup_api(file: Path, tmp_path: Path) -> None:
    with life(file, 5):
        pass
    killed = kill(file, 3, tmp_path / "killed")
    with closing(apsw.Connection(str(file))) as connection:
        connection.execute("PRAGMA journal_mode = DELETE").fetchall()
    shutil.copy(file, killed)
    with pytest.raises(StaleSidecar, match="a copy that never had a WAL"):
        sidecars.check(killed)


@pytest.mark.parametrize("torn", [b"", b"x" * 10, b"\0" * 5000, b"\x37\x7f\x06\x82" + b"\0" * 9000])
def test_a_sidecar_without_a_commit_is_left_to_sqlite(file: Path, torn: bytes) -> None:
    with life(file, 5):
        pass
    for suffix in ("-wal", "-journal"):
        Path(f"{file}{suffix}").write_bytes(torn)
        sidecars.check(file)


def test_a_torn_image_of_the_first_page_proves_nothing(file: Path, tmp_path: Path) -> None:
    with life(file, 5):
        pass
    killed = kill(file, 0, tmp_path / "killed")
    wal = Path(f"{killed}-wal")
    whole = bytearray(wal.read_bytes())
    whole[32 + 24 :] = bytes(len(whole) - 32 - 24)  # the frame's header was written, its page was not
    wal.write_bytes(whole)
    sidecars.check(killed)


def test_a_wal_without_its_database_is_left_to_the_check_for_a_lost_one(file: Path, tmp_path: Path) -> None:
    killed = kill(file, 3, tmp_path / "killed")
    killed.unlink()
    sidecars.check(killed)


# -- rollback journals ---------------------------------------------------------


class Copying(apsw.VFS):
    """Copies a journal and its database when the journal is about to be deleted, which is the commit."""

    NAME = "copying"

    def __init__(self) -> None:
        super().__init__(self.NAME, "")

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802, FBT001 -- SQLite's
        for name in (filename, filename.removesuffix("-journal")):
            shutil.copy(name, f"{name}.dying")
        super().xDelete(filename, syncdir)


def die_at_the_commit(file: Path) -> tuple[bytes, bytes, bytes]:
    """Commit one row. Return the database from before, the one that is written, and the hot journal."""
    before, vfs = file.read_bytes(), Copying()
    with closing(apsw.Connection(str(file), vfs=vfs.NAME)) as connection:
        connection.execute("INSERT INTO meta VALUES ('last', 'x')")
    vfs.unregister()
    return before, Path(f"{file}.dying").read_bytes(), Path(f"{file}-journal.dying").read_bytes()


def test_the_journal_of_a_killed_owner_is_its_own(file: Path) -> None:
    with life(file, 5, "DELETE"):
        pass
    before, written, journal = die_at_the_commit(file)
    for database in (before, written):
        file.write_bytes(database)
        Path(f"{file}-journal").write_bytes(journal)
        sidecars.check(file)
        assert len(content(file)) == 5


@pytest.mark.parametrize("commits", [1, 2, 10])
def test_a_journal_is_stale_beside_an_older_copy(file: Path, commits: int) -> None:
    with life(file, 5, "DELETE"):
        pass
    copy = backup(file)
    for _ in range(commits):
        die_at_the_commit(file)
    _, _, journal = die_at_the_commit(file)
    shutil.copy(copy, file)
    Path(f"{file}-journal").write_bytes(journal)
    with pytest.raises(StaleSidecar, match=r"v2.db-journal beside it .* move v2.db-journal away"):
        sidecars.check(file)


def test_a_journal_is_stale_beside_a_newer_copy(file: Path) -> None:
    with life(file, 5, "DELETE"):
        pass
    _, _, journal = die_at_the_commit(file)
    die_at_the_commit(file)
    Path(f"{file}-journal").write_bytes(journal)
    with pytest.raises(StaleSidecar):
        sidecars.check(file)


def test_a_journal_that_would_empty_a_database_in_use_is_stale(file: Path) -> None:
    with life(file, 5, "DELETE"):
        pass
    first = bytes.fromhex("d9d505f920a163d7") + bytes(12) + (512).to_bytes(4) + (4096).to_bytes(4)
    Path(f"{file}-journal").write_bytes(first + bytes(512))
    with pytest.raises(StaleSidecar, match="it would empty the database"):
        sidecars.check(file)


def test_a_big_transaction_of_a_killed_owner_is_left_to_sqlite(file: Path) -> None:
    with life(file, 5, "DELETE"):
        pass
    leave_hot_journal(file)
    sidecars.check(file)
    assert len(content(file)) == 5
