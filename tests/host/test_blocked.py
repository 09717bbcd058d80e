"""A container that holds a read lock on `inbound.db` for 2 s is stopped (contract 2)."""

import os
import subprocess
import sys
from pathlib import Path
from random import Random

import apsw
import pytest
import trio
from trio.testing import MockClock

from nanoclaw.host import Seams, open_host
from nanoclaw.runtimes.process import ProcessRuntime
from nanoclaw.store import StoreBusy, own_inbound
from nanoclaw.system.clock import SystemClock
from nanoclaw.testing import FakeChannel, wire
from nanoclaw.testing.world.executor import InlineExecutor
from tests.host.homes import GUARD_S, config, statuses
from tests.store.openings import paths_in, put

SCRIPT = Path(__file__).with_name("holding_runner.py")


def holder(path: Path) -> apsw.Connection:
    """Open a reader in a transaction."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    connection.execute("BEGIN")
    connection.execute("SELECT * FROM meta").fetchall()
    return connection


async def test_a_blocked_commit_is_reported_once_after_two_seconds(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    del autojump_clock
    told: list[float] = []
    seams = {"executor": InlineExecutor(), "clock": SystemClock(), "random": Random(1)}
    async with own_inbound(paths_in(tmp_path), **seams) as writer:  # type: ignore[arg-type]  # by name
        reader, start = holder(writer.path), trio.current_time()

        def blocked() -> None:
            told.append(trio.current_time() - start)
            if len(told) == 2:
                reader.close()

        with writer.when_blocked(blocked):
            with pytest.raises(StoreBusy):
                await writer.run(put, "a")
            start = trio.current_time()
            await writer.run(put, "b")
        assert len(told) == 2
        assert all(2 <= seconds < 2.1 for seconds in told)


RESERVING = """
import fcntl, os, struct, sys
descriptor = os.open(sys.argv[1], os.O_RDONLY)
fcntl.fcntl(descriptor, fcntl.F_SETLK, struct.pack("hhqqi", fcntl.F_RDLCK, 0, 0x40000001, 1, 0))
print("held", flush=True)
sys.stdin.read()
"""
"""A program that locks the byte by which SQLite reserves a file. It only needs to read the file."""


@pytest.mark.skipif(sys.platform != "linux", reason="the program packs Linux's struct flock")
async def test_a_lock_on_the_reserved_byte_is_reported_too(tmp_path: Path, autojump_clock: MockClock) -> None:
    del autojump_clock
    seams = {"executor": InlineExecutor(), "clock": SystemClock(), "random": Random(1)}
    async with own_inbound(paths_in(tmp_path), **seams) as writer:  # type: ignore[arg-type]  # by name
        command = [sys.executable, "-c", RESERVING, str(writer.path)]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe) as holding:  # noqa: ASYNC220 -- it ends by its stdin
            assert holding.stdout is not None
            assert holding.stdout.readline() == b"held\n"

            def blocked() -> None:
                holding.communicate(b"")

            with writer.when_blocked(blocked):
                await writer.run(put, "a")
        assert holding.returncode == 0


@pytest.mark.slow
async def test_a_runner_that_holds_a_read_lock_is_stopped_and_the_message_committed(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    os.mkfifo(mark)
    runtime = ProcessRuntime(grace_s=0.2, command=(sys.executable, "-P", str(SCRIPT), str(mark)))
    channel = FakeChannel()
    with trio.fail_after(GUARD_S * 2):
        async with open_host(config(tmp_path), channels=[channel], seams=Seams(runtime=runtime)) as host:
            await wire(host, channel.address())
            await channel.say("one", event_id="1")
            await trio.to_thread.run_sync(mark.read_bytes)
            mark.unlink()
            start = trio.current_time()
            await channel.say("two", event_id="2")
            assert 2.0 <= trio.current_time() - start < 4.0
            await channel.reply_to("2")
            await channel.reply_to("1")
    assert statuses(tmp_path) == ["completed", "completed"]
