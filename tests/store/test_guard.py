# ruff: noqa: ASYNC220, ASYNC240 -- a test may block
import contextlib
import os
import stat
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import apsw
import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from nanoclaw.store import (
    CorruptDatabase,
    Executor,
    HotJournal,
    StoreBusy,
    StoreClosed,
    StoreError,
    ThreadExecutor,
    Untrusted,
    UntrustedReader,
    create_outbound,
    open_untrusted,
)
from nanoclaw.testing.world.executor import InlineExecutor
from tests.store.openings import keys, leave_hot_journal, paths_in, put


@pytest.fixture
def outbound(tmp_path: Path) -> Path:
    """Create an outbound.db with one key in it."""
    paths = paths_in(tmp_path)
    create_outbound(paths, owner=None)
    with_runner(paths.outbound_db, lambda connection: put(connection, "a"))
    return paths.outbound_db


def with_runner(path: Path, act: Callable[[apsw.Connection], object]) -> None:
    connection = apsw.Connection(str(path))
    try:
        act(connection)
    finally:
        connection.close()


@asynccontextmanager
async def guarded(path: Path, executor: Executor | None = None) -> AsyncIterator[UntrustedReader]:
    with trio.fail_after(30):
        async with open_untrusted(path, executor or InlineExecutor()) as reader:
            yield reader


async def refused(path: Path, match: str) -> None:
    async with guarded(path) as reader:
        with pytest.raises(Untrusted, match=match):
            await reader.run(keys)


def journal(path: Path) -> Path:
    return Path(f"{path}-journal")


# -- an honest file ------------------------------------------------------------


async def test_a_valid_file_is_read_and_its_changes_are_seen(outbound: Path) -> None:
    async with guarded(outbound) as reader:
        assert await reader.run(keys) == ["a"]
        with_runner(outbound, lambda connection: put(connection, "b"))
        assert await reader.run(keys) == ["a", "b"]


async def test_the_hosts_queries_may_use_json(outbound: Path) -> None:
    sql = "SELECT key FROM meta WHERE key IN (SELECT value FROM json_each(?))"
    async with guarded(outbound) as reader:
        assert await reader.run(lambda c: c.execute(sql, ('["a", "b"]',)).fetchall()) == [("a",)]


async def test_a_large_file_is_read_completely(outbound: Path) -> None:
    def fill(connection: apsw.Connection) -> None:
        for n in range(300):
            put(connection, f"k{n:03}", "x" * 5000)

    with_runner(outbound, fill)
    async with guarded(outbound, ThreadExecutor()) as reader:
        assert len(await reader.run(keys)) == 301
        assert await reader.run(lambda c: c.execute("SELECT sum(length(value)) FROM meta").get) == 1_500_001
        assert await reader.run(lambda c: c.execute("PRAGMA integrity_check").get) == "ok"


async def test_a_writer_in_another_process_is_waited_for(outbound: Path) -> None:
    hold = """
import apsw, sys
connection = apsw.Connection(sys.argv[1])
connection.execute("BEGIN EXCLUSIVE; INSERT INTO meta VALUES ('b', 'x')")
print("held", flush=True)
sys.stdin.readline()
connection.execute("COMMIT")
print("done", flush=True)
sys.stdin.readline()
"""
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(outbound)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as runner:
        assert runner.stdout is not None
        assert runner.stdin is not None
        assert runner.stdout.readline() == b"held\n"
        async with guarded(outbound) as reader:
            with trio.move_on_after(0.05) as scope:
                await reader.run(keys)
            assert scope.cancelled_caught
            runner.stdin.write(b"\n")
            runner.stdin.flush()
            assert runner.stdout.readline() == b"done\n"
            assert await reader.run(keys) == ["a", "b"]
        runner.stdin.close()


async def test_a_reader_delays_a_commit_and_releases_its_lock(outbound: Path) -> None:
    def commit_against(_connection: apsw.Connection) -> None:
        _connection.execute("SELECT * FROM meta").fetchall()
        writer = apsw.Connection(str(outbound))
        writer.execute("BEGIN IMMEDIATE")
        put(writer, "b")
        with pytest.raises(apsw.BusyError):
            writer.execute("COMMIT")
        writer.close(force=True)

    async with guarded(outbound) as reader:
        await reader.run(commit_against)
        with_runner(outbound, lambda connection: put(connection, "c"))
        assert await reader.run(keys) == ["a", "c"]


async def test_the_journal_of_a_live_writer_is_not_taken_for_a_dead_writers(outbound: Path) -> None:
    writer = apsw.Connection(str(outbound))
    writer.execute("BEGIN IMMEDIATE")
    put(writer, "b")
    assert journal(outbound).exists()
    async with guarded(outbound) as reader:
        assert await reader.run(keys) == ["a"]
    writer.execute("ROLLBACK")
    writer.close()


async def test_waiting_for_a_lock_ends_after_five_seconds(outbound: Path, autojump_clock: MockClock) -> None:
    del autojump_clock
    writer = apsw.Connection(str(outbound))
    writer.execute("BEGIN EXCLUSIVE")
    async with guarded(outbound) as reader:
        start = trio.current_time()
        with pytest.raises(StoreBusy):
            await reader.run(keys)
        assert 5 <= trio.current_time() - start < 5.1
    writer.close()


async def test_a_dead_writers_journal_is_reported_and_never_rolled_back(
    outbound: Path, autojump_clock: MockClock
) -> None:
    del autojump_clock
    leave_hot_journal(outbound)
    before = outbound.read_bytes(), journal(outbound).read_bytes()
    async with guarded(outbound) as reader:
        start = trio.current_time()
        with pytest.raises(HotJournal):
            await reader.run(keys)
        assert 5 <= trio.current_time() - start < 5.1
        assert (outbound.read_bytes(), journal(outbound).read_bytes()) == before
        with_runner(outbound, keys)  # the runner rolls it back
        assert await reader.run(keys) == ["a"]


# -- what is not a regular file ------------------------------------------------


async def test_a_fifo_as_database_is_refused_at_once(outbound: Path) -> None:
    outbound.unlink()
    os.mkfifo(outbound)
    await refused(outbound, "not a regular file")


async def test_a_fifo_as_journal_is_refused_at_once(outbound: Path) -> None:
    os.mkfifo(journal(outbound))
    await refused(outbound, r"not a regular file: outbound\.db-journal")


async def test_a_symbolic_link_as_database_is_not_followed(outbound: Path) -> None:
    outbound.rename(outbound.with_name("real.db"))
    outbound.symlink_to("real.db")
    await refused(outbound, "not a regular file")


async def test_a_symbolic_link_as_journal_is_not_followed(outbound: Path) -> None:
    journal(outbound).symlink_to("/etc/hostname")
    await refused(outbound, "not a regular file")


async def test_a_symbolic_link_as_directory_is_not_followed(outbound: Path) -> None:
    real = outbound.parent.rename(outbound.parent.with_name("real"))
    outbound.parent.symlink_to(real)
    await refused(outbound, "not in a readable directory")


async def test_a_directory_as_database_is_refused(outbound: Path) -> None:
    outbound.unlink()
    outbound.mkdir()
    await refused(outbound, "not a regular file")


async def test_a_device_as_database_is_refused(outbound: Path) -> None:
    outbound.unlink()
    try:
        os.mknod(outbound, stat.S_IFCHR | 0o600, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("may not make devices here")
    await refused(outbound, "not a regular file")


async def test_a_missing_file_is_reported_and_read_once_it_exists(outbound: Path) -> None:
    outbound.rename(outbound.with_name("away"))
    async with guarded(outbound) as reader:
        with pytest.raises(Untrusted, match="is missing"):
            await reader.run(keys)
        outbound.with_name("away").rename(outbound)
        assert await reader.run(keys) == ["a"]


async def test_a_file_replaced_while_open_is_refused_once_and_then_reopened(outbound: Path) -> None:
    async with guarded(outbound) as reader:
        assert await reader.run(keys) == ["a"]
        other = outbound.with_name("other")
        other.write_bytes(outbound.read_bytes())
        with_runner(other, lambda connection: put(connection, "b"))
        other.rename(outbound)
        with pytest.raises(Untrusted, match="was replaced"):
            await reader.run(keys)
        assert await reader.run(keys) == ["a", "b"]


async def test_reopening_reads_the_file_that_is_there_now(outbound: Path) -> None:
    async with guarded(outbound) as reader:
        await reader.run(keys)
        outbound.with_name("other").write_bytes(outbound.read_bytes())
        outbound.with_name("other").rename(outbound)
        await reader.reopen()
        assert await reader.run(keys) == ["a"]


# -- what a database can be made to do -----------------------------------------


async def test_a_file_in_wal_mode_is_refused_and_its_shared_memory_is_never_mapped(outbound: Path) -> None:
    writer = apsw.Connection(str(outbound))
    writer.execute("PRAGMA journal_mode = WAL").fetchall()
    put(writer, "b")
    await refused(outbound, "is in WAL mode|has a write-ahead log")
    writer.close()
    assert not outbound.with_name("outbound.db-wal").exists()
    await refused(outbound, "is in WAL mode")


async def test_a_change_to_wal_mode_of_an_open_file_is_detected(outbound: Path) -> None:
    async with guarded(outbound) as reader:
        assert await reader.run(keys) == ["a"]
        writer = apsw.Connection(str(outbound))
        writer.execute("PRAGMA journal_mode = WAL").fetchall()
        put(writer, "b")
        with pytest.raises(Untrusted, match=r"WAL|write-ahead"):
            await reader.run(keys)
        writer.execute("PRAGMA journal_mode = DELETE").fetchall()
        writer.close()
        assert await reader.run(keys) == ["a", "b"]


async def test_a_giant_file_is_refused(outbound: Path) -> None:
    os.truncate(outbound, 2 << 30)
    await refused(outbound, "is larger than")


def name_a_super_journal(path: Path, victim: Path) -> None:
    """Return a journal that makes SQLite delete `victim` when it is rolled back."""
    page = 4096
    header = bytes.fromhex("d9d505f920a163d7") + struct.pack(
        ">IIIII", 0, 7, path.stat().st_size // page, 512, page
    )
    name = os.fsencode(victim)
    trailer = name + struct.pack(">II", len(name), sum(name)) + bytes.fromhex("d9d505f920a163d7")
    journal(path).write_bytes(header.ljust(512, b"\0") + struct.pack(">I", 0x40000000 // page + 1) + trailer)


async def test_a_crafted_journal_deletes_nothing(outbound: Path, autojump_clock: MockClock) -> None:
    del autojump_clock
    # SQLite 3.54 deletes what looks like one of its own; earlier versions delete any file.
    victim = outbound.parents[1] / "v2.db-mjABCDEF9FF"
    victim.write_bytes(os.fsencode(journal(outbound)) + b"\0")
    name_a_super_journal(outbound, victim)
    async with guarded(outbound) as reader:
        with pytest.raises(HotJournal):
            await reader.run(keys)
    assert victim.exists()
    with_runner(outbound, keys)  # and this is what it would have done
    assert not victim.exists()


@pytest.mark.parametrize(
    "sql",
    [
        """
        DROP TABLE meta;
        CREATE VIEW meta (key) AS
        WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n
        """,
        # One step of SQLite's machine, which no deadline interrupts.
        "DROP TABLE meta; CREATE TABLE meta (k, key AS (hex(zeroblob(k)) LIKE '%1%2%3%4%'))",
        "DROP TABLE meta; CREATE TABLE meta (k, key AS (hex(zeroblob(k)) LIKE '%1%2%3%4%') STORED)",
        "DROP TABLE meta; CREATE VIRTUAL TABLE meta USING fts5 (key)",
    ],
)
async def test_views_computed_columns_and_virtual_tables_are_refused(outbound: Path, sql: str) -> None:
    async with guarded(outbound) as reader:
        assert await reader.run(keys) == ["a"]
        with_runner(outbound, lambda connection: connection.execute(sql).fetchall())
        for _ in range(2):
            with pytest.raises(Untrusted, match=r"has the (view|computed column|virtual table) 'meta"):
                await reader.run(keys)
    await refused(outbound, "has the")


async def test_an_endless_query_is_interrupted(outbound: Path) -> None:
    endless = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
    async with open_untrusted(outbound, InlineExecutor(), deadline_s=0.05) as reader:
        with pytest.raises(Untrusted, match=r"took more than 0\.05 s"):
            await reader.run(lambda connection: connection.execute(endless).get)
        assert await reader.run(keys) == ["a"]


async def test_a_row_over_the_size_limit_is_refused(outbound: Path) -> None:
    with_runner(outbound, lambda connection: put(connection, "big", "x" * 100_000))
    async with open_untrusted(outbound, InlineExecutor(), max_row_bytes=50_000) as reader:
        with pytest.raises(Untrusted, match="too big"):
            await reader.run(lambda connection: connection.execute("SELECT value FROM meta").fetchall())


async def test_a_row_of_ten_megabytes_is_read(outbound: Path) -> None:
    with_runner(outbound, lambda connection: put(connection, "big", "x" * 10_000_000))
    async with guarded(outbound) as reader:
        rows = await reader.run(
            lambda c: c.execute("SELECT length(value) FROM meta WHERE key = 'big'").fetchall()
        )
        assert rows == [(10_000_000,)]


async def test_invalid_utf_8_is_reported_as_an_error_in_the_file(outbound: Path) -> None:
    with_runner(outbound, lambda c: c.execute("INSERT INTO meta VALUES (CAST(x'ff80' AS TEXT), 'x')"))
    await refused(outbound, "utf-8")


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO meta VALUES ('b', 'x')",
        "PRAGMA query_only = OFF; DELETE FROM meta",
        "ATTACH ':memory:' AS other",
        "SELECT load_extension('x')",
        "PRAGMA journal_mode = WAL",
        "VACUUM",
        "CREATE TABLE b (x)",
    ],
)
async def test_nothing_is_written_or_loaded_through_the_guard(outbound: Path, sql: str) -> None:
    before = outbound.read_bytes()
    async with guarded(outbound) as reader:
        try:
            await reader.run(lambda connection: connection.execute(sql).fetchall())
        except StoreError:
            pass
        else:
            assert sql.startswith("PRAGMA journal_mode")  # it is answered with the mode there is
        assert await reader.run(keys) == ["a"]
    assert outbound.read_bytes() == before
    assert sorted(path.name for path in outbound.parent.iterdir()) == ["outbound.db", "outbox"]


# -- damage --------------------------------------------------------------------


async def test_a_file_of_garbage_is_reported_as_damaged(outbound: Path) -> None:
    outbound.write_bytes(b"garbage!" * 1000)
    async with guarded(outbound) as reader:
        with pytest.raises(CorruptDatabase):
            await reader.run(keys)


async def test_an_empty_or_truncated_file_is_refused(outbound: Path) -> None:
    whole = outbound.read_bytes()
    for size in (0, 50, 5000):
        outbound.write_bytes(whole[:size])
        async with guarded(outbound) as reader:
            with pytest.raises(StoreError):
                await reader.run(keys)


@given(
    st.lists(st.tuples(st.integers(0, 30_000), st.binary(min_size=1, max_size=40)), min_size=1, max_size=6)
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_with_arbitrary_bytes_causes_at_most_an_error(
    tmp_path: Path, changes: list[tuple[int, bytes]]
) -> None:
    paths = paths_in(tmp_path)
    paths.outbound_db.unlink(missing_ok=True)
    create_outbound(paths, owner=None)
    data = bytearray(paths.outbound_db.read_bytes())
    for offset, patch in changes:
        at = offset % len(data)
        data[at : at + len(patch)] = patch
    paths.outbound_db.write_bytes(data)

    def all_of(connection: apsw.Connection, table: str) -> None:
        connection.execute(f'SELECT * FROM "{table}"').fetchall()  # noqa: S608 -- one of the three below

    async def main() -> None:
        reader_of = open_untrusted(paths.outbound_db, InlineExecutor(), patience_s=0.0, deadline_s=0.5)
        async with reader_of as reader:
            for table in ("meta", "messages_out", "processing_ack"):
                try:
                    await reader.run(all_of, table)
                except StoreError:
                    continue

    trio.run(main)


# -- scope and cost ------------------------------------------------------------


async def test_nothing_is_opened_before_the_first_read_and_nothing_stays_open(outbound: Path) -> None:
    here = Path("/proc/self/fd")
    if not here.is_dir():
        pytest.skip("no /proc here")

    def ours() -> set[str]:
        found = set()
        for link in here.iterdir():
            with contextlib.suppress(FileNotFoundError):  # the listing's own
                found.add(str(link.readlink()))
        return {name for name in found if name.startswith(str(outbound.parent))}

    vfs_before = len(apsw.vfs_names())
    async with guarded(outbound) as reader:
        assert ours() == set()
        await reader.run(keys)
        assert str(outbound) in ours()
        os.mkfifo(journal(outbound))
        with pytest.raises(Untrusted):
            await reader.run(keys)
        assert ours() == set()
        journal(outbound).unlink()
        await reader.run(keys)
    assert ours() == set()
    assert len(apsw.vfs_names()) == vfs_before
    with pytest.raises(StoreClosed):
        await reader.run(keys)


async def test_a_callers_error_propagates_and_ends_the_transaction(outbound: Path) -> None:
    def fail(connection: apsw.Connection) -> None:
        keys(connection)
        raise ValueError("mine")

    async with guarded(outbound) as reader:
        with pytest.raises(ValueError, match="mine"):
            await reader.run(fail)
        with_runner(outbound, lambda connection: put(connection, "b"))
        assert await reader.run(keys) == ["a", "b"]
