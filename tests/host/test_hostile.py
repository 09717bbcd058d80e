"""Attacks of a container on its files (contract 6): each affects only its session, and status shows it."""

import os
import sqlite3
import stat
import struct
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from math import inf
from pathlib import Path

import apsw
import pytest
import trio

from nanoclaw.host import Host, HostFailed, Seams, open_host
from nanoclaw.runtimes import Death
from nanoclaw.store import to_text
from nanoclaw.system.wakeups import FLOOD_PER_S
from tests.host.homes import GUARD_S, config, rows, supervisor
from tests.host.runtimes import FakeRuntime
from tests.host.stage import Stage, a_stage, assert_says, row
from tests.host.test_deliveries import says

# -- the file ------------------------------------------------------------------


def sql(script: str) -> Callable[[Path], None]:
    def run(file: Path) -> None:
        with closing(sqlite3.connect(file)) as connection:
            connection.executescript(script)

    return run


def to_fifo(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def to_link(file: Path) -> None:
    file.rename(file.with_name("real.db"))
    file.symlink_to("real.db")


def to_directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


def to_device(file: Path) -> None:
    file.unlink()
    try:
        os.mknod(file, stat.S_IFCHR | 0o600, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("may not make devices here")


def journal(file: Path) -> Path:
    return Path(f"{file}-journal")


def to_wal_with_cut_memory(file: Path) -> None:
    # In a separate process: SIGBUS kills the process that closes such a file.
    script = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.executescript("PRAGMA journal_mode = WAL; CREATE TABLE t (x)")
os._exit(0)
"""
    subprocess.run([sys.executable, "-c", script, str(file)], check=True)
    assert Path(f"{file}-wal").exists()
    os.truncate(f"{file}-shm", 0)


def replaced(file: Path) -> None:
    file.with_name("other").write_bytes(file.read_bytes())
    file.with_name("other").rename(file)


FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a FIFO": (to_fifo, "not a regular file|went away|was replaced"),
    "a FIFO as journal": (lambda file: os.mkfifo(journal(file)), "not a regular file: outbound.db-journal"),
    "a link": (to_link, "not a regular file|was replaced"),
    "a link as journal": (lambda file: journal(file).symlink_to("/etc/hostname"), "not a regular file"),
    "a directory": (to_directory, "not a regular file|was replaced"),
    "a device": (to_device, "not a regular file|was replaced"),
    "missing": (Path.unlink, "disappeared|is missing"),
    "replaced": (replaced, "was replaced"),
    "WAL": (sql("PRAGMA journal_mode = WAL; CREATE TABLE t (x)"), "WAL|write-ahead"),
    "WAL with cut memory": (to_wal_with_cut_memory, "WAL|write-ahead"),
    "no database": (lambda file: file.write_bytes(b"garbage!" * 5000), "not a SQLite database|damaged"),
    "giant": (lambda file: os.truncate(file, 2 << 30), "is larger than"),
    "endless view": (
        sql("""
        DROP TABLE messages_out;
        CREATE VIEW messages_out AS
        WITH RECURSIVE n (seq) AS (SELECT 1 UNION ALL SELECT seq + 2 FROM n)
        SELECT 'a' || seq AS id, seq, '' AS content FROM n
        """),
        "has the view 'messages_out'",
    ),
    "computed column": (
        sql("ALTER TABLE messages_out ADD COLUMN x AS (hex(zeroblob(seq)) LIKE '%1%2%3%4%')"),
        "has the computed column",
    ),
    "virtual table": (sql("CREATE VIRTUAL TABLE x USING fts5 (y)"), "has the virtual table"),
    "no such columns": (sql("DROP TABLE processing_ack; CREATE TABLE processing_ack (x)"), "no such column"),
}


@pytest.mark.parametrize("kind", FILES)
async def test_a_bad_file_stops_only_its_session_and_status_says_why(tmp_path: Path, kind: str) -> None:
    spoil, reason = FILES[kind]
    async with a_stage(tmp_path) as stage:
        stage.writes(says("before", 1, None))
        await stage.delivered("before")
        spoil(stage.paths().outbound_db)
        stage.wake()
        details = await stage.details(lambda details: details.quarantined)
        assert_says(reason, details.quarantined)
        await stage.neighbour_goes_on()


async def test_a_crafted_journal_deletes_nothing_and_status_says_that_the_session_waits(
    tmp_path: Path,
) -> None:
    victim = tmp_path / "victim-mjABCDEF9FF"
    async with a_stage(tmp_path) as stage:
        file = stage.paths().outbound_db
        victim.write_bytes(os.fsencode(journal(file)) + b"\0")
        journal(file).write_bytes(naming(victim, file.stat().st_size))
        stage.wake()
        details = await stage.details(lambda details: details.unreadable)
        assert_says("died within a transaction", details.unreadable)
        assert details.quarantined is None
        await stage.neighbour_goes_on()
        journal(file).unlink()
        stage.writes(says("after", 1, None))
        await stage.delivered("after")
        await stage.details(lambda details: details.unreadable is None)
    assert victim.exists()


async def test_a_journal_that_no_recovery_removes_is_tried_later_and_later(tmp_path: Path) -> None:
    async with a_stage(tmp_path) as stage:
        file = stage.paths().outbound_db
        journal(file).write_bytes(naming(tmp_path / "victim", file.stat().st_size))
        [runner] = [one for one in stage.runtime.runners if one.spec.session_id == stage.sessions["bad"]]
        runner.die(Death(orderly=True, reason="it left"))
        details = await stage.details(lambda details: details.runner.failures)
        assert_says("still has a hot journal", details.runner.last_failure)
        assert stage.runtime.recovered == 1
        await stage.neighbour_goes_on()


def naming(victim: Path, size: int) -> bytes:
    """Write a journal whose super-journal is `victim`. Its rollback would make SQLite delete that file."""
    page, magic, name = 4096, bytes.fromhex("d9d505f920a163d7"), os.fsencode(victim)
    header = magic + struct.pack(">IIIII", 0, 7, size // page, 512, page)
    trailer = name + struct.pack(">II", len(name), sum(name)) + magic
    return header.ljust(512, b"\0") + struct.pack(">I", 0x40000000 // page + 1) + trailer


async def test_an_emptied_file_is_left_to_its_runner_and_status_says_so(tmp_path: Path) -> None:
    async with a_stage(tmp_path) as stage:
        stage.channel.fail("unavailable", chat="bad")
        stage.writes(says("read", 1, None))
        await stage.channel.wait_attempts(1)
        os.truncate(stage.paths().outbound_db, 0)
        stage.wake()
        details = await stage.details(lambda details: details.unreadable)
        assert_says("of another build", details.unreadable)
        await stage.delivered("read")
        await stage.neighbour_goes_on()


async def test_a_trigger_in_the_file_does_nothing(tmp_path: Path) -> None:
    async with a_stage(tmp_path) as stage:
        trigger = "CREATE TRIGGER t AFTER INSERT ON messages_out BEGIN DELETE FROM session_state; END"
        stage.writes((trigger, {}), says("good", 1, None))
        await stage.delivered("good")
        await stage.neighbour_goes_on()


async def test_a_lock_that_is_held_for_ever_costs_its_session_and_delays_nothing_that_was_read(
    tmp_path: Path,
) -> None:
    async with a_stage(tmp_path) as stage:
        stage.channel.fail("unavailable", chat="bad")
        stage.writes(says("read", 1, None))
        await stage.channel.wait_attempts(1)
        with closing(apsw.Connection(str(stage.paths().outbound_db))) as connection:
            connection.set_busy_timeout(5000)
            connection.execute("BEGIN EXCLUSIVE")
            stage.wake()
            await stage.details(lambda details: details.unreadable)
            await stage.delivered("read")
            await stage.neighbour_goes_on()
            connection.execute("ROLLBACK")
        await stage.details(lambda details: details.unreadable is None)


async def test_a_quarantined_session_delivers_the_rows_that_it_has_read(tmp_path: Path) -> None:
    async with a_stage(tmp_path, delivery={"backoff_s": (0.05,) * 200}) as stage:
        stage.channel.fail("unavailable", times=inf, chat="bad")
        stage.writes(says("first", 1, None), says("second", 3, None))
        await stage.channel.wait_attempts(1)
        sql("CREATE VIEW v AS SELECT 1")(stage.paths().outbound_db)
        await stage.details(lambda details: details.quarantined)
        stage.channel.heal()
        await stage.delivered("second")
        await stage.details(lambda details: not details.deliveries)


async def test_a_quarantined_session_performs_deferred_requests(tmp_path: Path) -> None:
    async with a_stage(tmp_path) as stage:
        at = to_text(datetime.now(UTC) + timedelta(seconds=0.3))
        content = '{"action": "cancel_task", "taskId": "task-none"}'
        stage.writes(row(id="later", kind="system", content=content, deliver_after=at), says("read", 3, None))
        await stage.delivered("read")
        sql("CREATE VIEW v AS SELECT 1")(stage.paths().outbound_db)
        await stage.details(lambda details: details.quarantined)
        await stage.details(lambda details: not details.deliveries)
    assert stage.ledger()["later"][0] == "failed"  # refused: there is no such task


# -- the outbox ----------------------------------------------------------------


def outbox_link(outbox: Path) -> None:
    (outbox.parent / "elsewhere").mkdir()
    (outbox.parent / "elsewhere" / "out").mkdir()
    (outbox.parent / "elsewhere" / "out" / "file").write_text("secret")
    outbox.rmdir()
    outbox.symlink_to("elsewhere")


def message_link(outbox: Path) -> None:
    (outbox.parent / "elsewhere").mkdir()
    (outbox.parent / "elsewhere" / "file").write_text("secret")
    (outbox / "out").symlink_to(outbox.parent / "elsewhere")


def inside(act: Callable[[Path], object]) -> Callable[[Path], None]:
    def run(outbox: Path) -> None:
        (outbox / "out").mkdir()
        act(outbox / "out" / "file")

    return run


def device(file: Path) -> None:
    file.touch()
    to_device(file)


def giant(file: Path) -> None:
    file.touch()
    os.truncate(file, 1 << 40)


OUTBOXES: dict[str, tuple[Callable[[Path], object], str]] = {
    "gone": (Path.rmdir, "the outbox cannot be opened"),
    "a link": (outbox_link, "the outbox cannot be opened"),
    "a message that is a link": (message_link, "'out' cannot be opened"),
    "a message that is a file": (lambda outbox: (outbox / "out").touch(), "'out' cannot be opened"),
    "a message that is a FIFO": (lambda outbox: os.mkfifo(outbox / "out"), "'out' cannot be opened"),
    "a file that is a link": (inside(lambda file: file.symlink_to("/etc/hostname")), "is not a regular file"),
    "a file that is a FIFO": (inside(os.mkfifo), "is not a regular file"),
    "a file that is a folder": (inside(Path.mkdir), "is not a regular file"),
    "a file that is a device": (inside(device), "is not a regular file"),
    "a giant file": (inside(giant), "exceeds the limit"),
}


@pytest.mark.parametrize("kind", OUTBOXES)
async def test_a_bad_outbox_costs_its_message_which_is_refused_with_its_reason(
    tmp_path: Path, kind: str
) -> None:
    spoil, reason = OUTBOXES[kind]
    async with a_stage(tmp_path) as stage:
        spoil(stage.paths().outbox)
        stage.writes(row(content='{"text": "x", "files": ["file"]}'), says("next", 3, None))
        await stage.delivered("next")
        details = await stage.details(lambda details: details.refused)
        assert_says(reason, details.last_refused)
        await stage.neighbour_goes_on()
    assert "out" not in stage.ids()


# -- events --------------------------------------------------------------------


async def test_a_directory_with_a_flood_of_events_is_polled_and_status_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nanoclaw.system.wakeups.SWEEP_S", 0.02)
    async with a_stage(tmp_path) as stage:
        for n in range(FLOOD_PER_S + 10):
            file = stage.paths().outbound_dir / f"{n % 2}-journal"
            file.touch()
            file.unlink()
        details = await stage.details(lambda details: details.polled)
        assert_says("more than 1,000 events", details.polled)
        stage.writes(says("still", 1, None))
        await stage.delivered("still")
        await stage.neighbour_goes_on()


# -- what only an operator can do ----------------------------------------------


async def test_without_its_inbound_file_a_session_sends_nothing_again(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    async with stage.life():
        stage.writes(*[says(f"old-{n}", 2 * n + 1, None) for n in range(5)])
        await stage.delivered("old-4")
        await stage.details(lambda details: not details.deliveries)
    stage.paths().inbound_db.unlink()
    async with stage.life():
        stage.writes(says("new", 11, None))
        await stage.delivered("new")
    assert stage.ids() == [*(f"old-{n}" for n in range(5)), "new"]
    assert rows(stage.paths().inbound_db, "SELECT seq FROM messages_in") == [(10,)]


@pytest.mark.parametrize("spoil", ["inbound", "inbox", "fifo"])
async def test_status_names_the_obstacle_of_a_session(tmp_path: Path, spoil: str) -> None:
    stage = Stage(tmp_path)
    async with stage.life():
        pass
    paths = stage.paths()
    place = {"inbound": paths.inbound_dir, "inbox": paths.inbox, "fifo": paths.inbound_db}[spoil]
    place.rename(tmp_path / "away")
    if spoil == "fifo":
        os.mkfifo(place)
    else:
        place.touch()
    with trio.fail_after(GUARD_S):
        async with open_host(
            config(tmp_path), channels=[stage.channel], seams=Seams(runtime=FakeRuntime())
        ) as host:
            await stage.channel.say("y", chat="bad")
            crash = await crash_of(host, stage.sessions["bad"])
    assert f"{place}: " in crash
    assert "move it away" in crash


async def crash_of(host: Host, session: str) -> str:
    """Return the reason of a session's crash, once it has crashed."""
    while True:
        for node in supervisor(host, "sessions").tree().children:
            if node.name == session and node.last_crash:
                return node.last_crash
        await trio.lowlevel.checkpoint()


async def test_a_central_database_that_is_no_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o700)
    os.mkfifo(tmp_path / "data" / "v2.db")
    with (
        trio.fail_after(GUARD_S),
        pytest.raises(HostFailed, match=r"v2\.db: is not a regular file.*move it away"),
    ):
        async with open_host(config(tmp_path), seams=Seams(runtime=FakeRuntime())):
            pass
