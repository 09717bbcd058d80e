# ruff: noqa: ASYNC220, ASYNC240 -- a test may block

import fcntl
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest
import trio

from nanoclaw.simulation.system_limits import no_file_beyond
from nanoclaw.store import (
    CorruptDatabase,
    ForbiddenConnection,
    ForeignDatabase,
    Owned,
    OwnershipLost,
    ReadOnlyStore,
    StoreError,
    create_outbound,
    owner_of,
)
from nanoclaw.store.engine.locks import holding
from nanoclaw.store.engine.other_openings import OpenElsewhere
from nanoclaw.testing.world.executor import InlineExecutor
from tests.store.openings import a_session, central, inbound, keys, leave_hot_journal, on_disk, paths_in, put

HOLD = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(fd, fcntl.LOCK_EX)
os.write(fd, f"{os.getpid()}\\n".encode())
print("held", flush=True)
sys.stdin.read()
"""


def permissions(path: Path) -> int:
    return path.stat().st_mode & 0o777


def pragma(connection: apsw.Connection, name: str) -> object:
    return connection.execute(f"PRAGMA {name}").get


@pytest.fixture
def may_give_away(tmp_path_factory: pytest.TempPathFactory) -> None:
    try:
        os.chown(tmp_path_factory.mktemp("given"), 1234, 2345)
    except OSError:
        pytest.skip("may not give files away here")


# -- the lock ------------------------------------------------------------------


async def test_a_second_owner_in_the_same_process_is_refused_and_told_the_first(tmp_path: Path) -> None:
    async with a_session(tmp_path):
        with pytest.raises(Owned, match=f"process {os.getpid()} owns it") as caught:
            async with a_session(tmp_path):
                pass
    assert caught.value.pid == os.getpid()


async def test_an_owner_in_another_process_is_named_and_its_death_frees_the_file(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(data / "owner")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(Owned, match=f"process {holder.pid} owns it"):
            async with central(data):
                pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    async with central(data):
        assert (data / "owner").read_text() == f"{os.getpid()}\n"


def leave_locked(lock: Path) -> int:
    """Hold a lock in a dead process's name, like a child of a host killed between fork and exec."""
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    os.write(descriptor, f"{dead.pid}\n".encode())
    return descriptor


@pytest.mark.usefixtures("autojump_clock")
async def test_a_new_owner_waits_until_the_dead_owners_last_child_releases_the_lock(tmp_path: Path) -> None:
    held = leave_locked(tmp_path / "owner")

    async def let_go() -> None:
        await trio.sleep(0.5)
        os.close(held)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(let_go)
        async with central(tmp_path):
            assert trio.current_time() >= 0.5


async def test_the_owner_of_a_data_directory_can_be_asked_for(tmp_path: Path) -> None:
    assert owner_of(tmp_path) is owner_of(tmp_path / "missing") is None
    async with central(tmp_path):
        owner = owner_of(tmp_path)
        assert owner is not None
        assert (owner.pid, owner.holder) == (os.getpid(), f"process {os.getpid()}")
    assert owner_of(tmp_path) is None


@pytest.mark.usefixtures("autojump_clock")
async def test_a_new_owner_waits_for_somebody_who_only_looks_at_the_lock(tmp_path: Path) -> None:
    looking = os.open(tmp_path / "owner", os.O_RDWR | os.O_CREAT)
    fcntl.flock(looking, fcntl.LOCK_SH)

    async def done() -> None:
        await trio.sleep(0.01)
        os.close(looking)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(done)
        async with central(tmp_path):
            pass


@pytest.mark.usefixtures("autojump_clock")
async def test_waiting_for_the_lock_of_a_dead_process_times_out(tmp_path: Path) -> None:
    held = leave_locked(tmp_path / "owner")
    with pytest.raises(Owned):
        async with central(tmp_path):
            pass
    os.close(held)


async def test_an_owner_that_fails_to_open_releases_the_lock(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "v2.db").write_bytes(b"not a database" * 100)
    for _ in range(2):
        with pytest.raises(ForeignDatabase):
            async with central(data):
                pass


# -- files and settings --------------------------------------------------------


async def test_a_lock_can_be_taken_and_released_while_the_disk_is_full(
    tmp_path: Path,
) -> None:
    lock = paths_in(tmp_path).lock
    async with a_session(tmp_path):
        pass
    for _ in range(2):
        with no_file_beyond(0):
            async with holding(lock, InlineExecutor()):
                with pytest.raises(Owned):
                    async with holding(lock, InlineExecutor()):
                        pass
    async with a_session(tmp_path) as writer:
        await writer.run(put, "works")


async def test_everything_created_is_accessible_only_to_its_user(tmp_path: Path) -> None:
    paths = paths_in(tmp_path)
    old = os.umask(0)
    try:
        async with central(tmp_path / "data"), inbound(paths):
            create_outbound(paths, owner=None)
    finally:
        os.umask(old)
    for path in (tmp_path / "data").rglob("*"):
        assert permissions(path) == (0o700 if path.is_dir() else 0o600), path


async def test_the_central_database_is_wal_with_foreign_keys(tmp_path: Path) -> None:
    async with central(tmp_path) as writer:
        settings = [
            await writer.run(pragma, name) for name in ("journal_mode", "foreign_keys", "synchronous")
        ]
        assert settings == ["wal", 1, 2]


async def test_a_session_file_is_in_delete_mode_and_syncs_its_directory(tmp_path: Path) -> None:
    async with a_session(tmp_path) as writer:
        settings = [
            await writer.run(pragma, name) for name in ("journal_mode", "synchronous", "busy_timeout")
        ]
        assert settings == ["delete", 3, 0]


async def test_inbound_can_be_given_to_the_containers_user(tmp_path: Path, may_give_away: None) -> None:
    del may_give_away
    paths = paths_in(tmp_path)
    async with inbound(paths, owner=(1234, 1234)):
        assert paths.inbound_db.stat().st_uid == 1234
        assert paths.lock.stat().st_uid == 0


async def test_a_transaction_left_unfinished_by_a_dead_host_is_rolled_back(tmp_path: Path) -> None:
    paths = paths_in(tmp_path)
    async with a_session(tmp_path) as writer:
        await writer.run(put, "whole")
    leave_hot_journal(paths.inbound_db)
    async with a_session(tmp_path) as writer:
        assert await writer.run(keys) == ["whole"]
    assert not Path(f"{paths.inbound_db}-journal").exists()


async def test_a_damaged_session_file_is_reported_as_damaged(tmp_path: Path) -> None:
    paths = paths_in(tmp_path)
    paths.inbound_dir.mkdir(parents=True)
    paths.inbound_db.write_bytes(b"garbage" * 1000)
    with pytest.raises(CorruptDatabase, match=r"inbound\.db.*restore the whole folder"):
        async with a_session(tmp_path):
            pass


async def test_a_directory_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    if os.access(tmp_path, os.W_OK):
        pytest.skip("root may write everywhere")
    with pytest.raises(ReadOnlyStore):
        async with central(tmp_path / "data"):
            pass


async def test_a_lock_file_that_is_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "owner").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Exception, match="cannot be opened"):
        async with central(tmp_path):
            pass
    assert not (tmp_path / "elsewhere").exists()


# -- nobody else writes --------------------------------------------------------


async def test_only_the_owner_may_open_a_writable_connection_below_its_directory(tmp_path: Path) -> None:
    async with central(tmp_path / "data") as registry, a_session(tmp_path) as writer:
        for path in (registry.path, writer.path, tmp_path / "data" / "new.db"):
            with pytest.raises(ForbiddenConnection, match="has an owner"):
                apsw.Connection(str(path))
        (tmp_path / "link").symlink_to(tmp_path / "data")
        with pytest.raises(ForbiddenConnection):
            apsw.Connection(str(tmp_path / "link" / "v2.db"))
        assert on_disk(writer.path) == []


@pytest.mark.parametrize("place", ["{}", "file:{}", "file:{}?mode=rw"])
@pytest.mark.parametrize("statement", ["ATTACH ? AS x", "ATTACH '{}' AS x"])
@pytest.mark.parametrize(
    "use",
    [
        "INSERT INTO x.meta (key, value) VALUES ('mine', '')",
        "UPDATE x.meta SET value = ''",
        "PRAGMA x.user_version = 7",
        "PRAGMA x.journal_mode = DELETE",
        "CREATE TABLE x.mine (y)",
    ],
)
async def test_an_owned_database_cannot_be_written_by_attaching_it(
    tmp_path: Path, place: str, statement: str, use: str
) -> None:
    async with central(tmp_path / "data") as registry, a_session(tmp_path) as writer:
        for path in (registry.path, writer.path):
            before = path.read_bytes()
            other = in_memory()
            with pytest.raises(ForbiddenConnection, match="has an owner"):
                attach(other, statement, place.format(path), use)
            other.close()
            assert path.read_bytes() == before


async def test_an_owned_database_can_be_attached_to_read_and_others_to_write(tmp_path: Path) -> None:
    async with a_session(tmp_path) as writer:
        await writer.run(put, "theirs")
        other = in_memory()
        attach(other, "ATTACH ? AS x", f"file:{writer.path}?mode=ro")
        assert "theirs" in [key for (key,) in other.execute("SELECT key FROM x.meta")]
        attach(other, "ATTACH ? AS mine", str(tmp_path / "mine.db"))
        other.execute("CREATE TABLE mine.t (y); INSERT INTO mine.t VALUES (1)")
        other.close()


async def test_a_transaction_attaches_nothing(tmp_path: Path) -> None:
    async with central(tmp_path / "data") as registry, a_session(tmp_path) as writer:
        with pytest.raises(StoreError, match="too many attached databases"):
            await registry.run(lambda connection: attach(connection, "ATTACH ? AS x", str(writer.path)))


def in_memory() -> apsw.Connection:
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI
    return apsw.Connection(":memory:", flags=flags)


def attach(connection: apsw.Connection, statement: str, place: str, use: str = "SELECT 1") -> None:
    bindings = (place,) if "?" in statement else ()
    connection.execute(statement.format(place), bindings)
    connection.execute(use)


async def test_outbound_other_and_in_memory_databases_can_still_be_opened(tmp_path: Path) -> None:
    paths = paths_in(tmp_path)
    async with central(tmp_path / "data"), a_session(tmp_path):
        create_outbound(paths, owner=None)
        for place in (str(paths.outbound_db), str(tmp_path / "mine.db"), ":memory:", ""):
            connection = apsw.Connection(place)
            connection.execute("CREATE TABLE mine (x)")
            connection.close()


async def test_the_directory_is_free_after_the_owners_scope(tmp_path: Path) -> None:
    async with central(tmp_path):
        pass
    apsw.Connection(str(tmp_path / "v2.db")).close()


# -- a lock file that is gone, and other SQLite libraries ------------------------


def remove(lock: Path) -> None:
    lock.unlink()


def replace(lock: Path) -> None:
    (lock.parent / "new").write_text("1\n")
    (lock.parent / "new").rename(lock)


@pytest.mark.parametrize("change", [remove, replace])
async def test_an_owner_whose_lock_file_is_gone_commits_nothing_more(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    async with central(tmp_path / "data") as registry, a_session(tmp_path) as writer:
        for each, lock in ((registry, tmp_path / "data" / "owner"), (writer, paths_in(tmp_path).lock)):
            await each.run(put, "before")
            change(lock)
            with pytest.raises(OwnershipLost, match="deleted or replaced"):
                await each.run(put, "after")
            with pytest.raises(OwnershipLost):
                await each.check_owner()
            assert "before" in on_disk(each.path)
            assert "after" not in on_disk(each.path)


async def test_a_second_host_beside_a_deleted_lock_file_leaves_one_writer(tmp_path: Path) -> None:
    async with central(tmp_path) as first:
        (tmp_path / "owner").unlink()
        async with central(tmp_path) as second:
            with pytest.raises(OwnershipLost):
                await first.run(put, "first")
            await second.run(put, "second")
    assert "second" in on_disk(tmp_path / "v2.db")
    assert "first" not in on_disk(tmp_path / "v2.db")


async def test_v2_db_is_refused_while_another_library_of_the_process_has_it_open(tmp_path: Path) -> None:
    async with central(tmp_path):
        pass
    other = sqlite3.connect(tmp_path / "v2.db")
    other.execute("SELECT count(*) FROM meta").fetchall()
    with pytest.raises(OpenElsewhere, match="close it before the host starts"):
        async with central(tmp_path):
            pass
    other.close()
    async with central(tmp_path) as writer:
        await writer.run(put, "mine")


async def test_v2_db_may_be_open_read_only_in_the_same_library(tmp_path: Path) -> None:
    async with central(tmp_path):
        pass
    reading = apsw.Connection(str(tmp_path / "v2.db"), flags=apsw.SQLITE_OPEN_READONLY)
    reading.execute("SELECT count(*) FROM meta").fetchall()
    async with central(tmp_path) as writer:
        await writer.run(put, "mine")
    reading.close()


# -- outbound.db ---------------------------------------------------------------


def test_outbound_is_created_atomically_and_only_once(tmp_path: Path) -> None:
    paths = paths_in(tmp_path)
    create_outbound(paths, owner=None)
    with apsw.Connection(str(paths.outbound_db)) as connection:
        put(connection, "runner")
    create_outbound(paths, owner=None)
    assert on_disk(paths.outbound_db) == ["runner"]
    assert sorted(path.name for path in paths.root.rglob("*")) == ["outbound", "outbound.db", "outbox"]


def test_creating_outbound_ignores_the_unfinished_file_of_a_dead_host(tmp_path: Path) -> None:
    paths = paths_in(tmp_path)
    paths.root.mkdir(parents=True)
    (paths.root / "outbound.db.new").write_bytes(b"half")
    (paths.root / "outbound.db.new-journal").write_bytes(b"half")
    create_outbound(paths, owner=None)
    assert on_disk(paths.outbound_db) == []


def test_outbound_is_not_created_through_a_symbolic_link(tmp_path: Path) -> None:
    paths = paths_in(tmp_path)
    paths.outbound_dir.mkdir(parents=True)
    victim = tmp_path / "victim"
    paths.outbound_db.symlink_to(victim)
    create_outbound(paths, owner=None)
    assert not victim.exists()


def test_outbound_belongs_to_the_containers_user(tmp_path: Path, may_give_away: None) -> None:
    del may_give_away
    paths = paths_in(tmp_path)
    create_outbound(paths, owner=(1234, 2345))
    for path in (paths.outbound_dir, paths.outbox, paths.outbound_db):
        assert (path.stat().st_uid, path.stat().st_gid) == (1234, 2345)


async def test_a_commit_opens_no_file_for_the_mark_beside_the_pid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, really = list[str](), os.open

    def noted(path: str, *args: int, **kwargs: int) -> int:
        opened.append(str(path))
        return really(path, *args, **kwargs)

    for key in ("first", "second"):
        async with a_session(tmp_path) as writer:
            monkeypatch.setattr(os, "open", noted)
            await writer.run(put, key)
            monkeypatch.undo()
            with pytest.raises(Owned) as caught:
                async with a_session(tmp_path):
                    pass
            assert caught.value.pid == os.getpid()
    assert opened == []
    content = paths_in(tmp_path).lock.read_bytes()
    assert content[:32].strip(b"\0") == b""
    assert int(content[32:]) > 0
