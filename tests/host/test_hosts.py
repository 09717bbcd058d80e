"""Whole hosts: two in one process, and the single exception of a failure."""

import sqlite3
from contextlib import closing
from pathlib import Path

import apsw
import pytest
import trio
from attrs import evolve

from actors import Stopped
from nanoclaw import ChatMessage, InboundEvent, NotAccepted
from nanoclaw.cli.status import status_lines
from nanoclaw.host import HostFailed, Seams, open_host
from nanoclaw.operations.labels import plain
from nanoclaw.records import Address
from nanoclaw.registry.actor import CheckLock
from nanoclaw.store import StoreFull, ThreadExecutor
from nanoclaw.testing import FakeChannel, wire
from tests.host.homes import GUARD_S, config, supervisor
from tests.host.runtimes import FakeRuntime

QUIET = Seams(runtime=FakeRuntime())


@pytest.mark.slow
async def test_two_hosts_in_one_process_answer_each_on_its_own_data(tmp_path: Path) -> None:
    channels = {name: FakeChannel() for name in ("a", "b")}

    async def talk(name: str) -> None:
        channel = channels[name]
        async with open_host(config(tmp_path / name), channels=[channel]) as host:
            await wire(host, channel.address())
            for n in range(3):
                await channel.say(f"{name}{n}", event_id=str(n))
                await channel.reply_to(str(n))

    with trio.fail_after(GUARD_S * 2):
        async with trio.open_nursery() as nursery:
            for name in channels:
                nursery.start_soon(talk, name)
    for name, channel in channels.items():
        texts = [one.content.text for one in channel.sent]  # type: ignore[union-attr]  # echo sends text only
        assert texts == [f"echo: {name}{n}" for n in range(3)]


async def test_a_host_can_be_opened_again_on_the_same_data(tmp_path: Path) -> None:
    for _ in range(3):
        async with open_host(config(tmp_path), seams=QUIET) as host:
            assert host.tree().name == "host"


# -- one exception -------------------------------------------------------------


async def test_a_second_host_on_the_same_data_fails_and_names_the_first(tmp_path: Path) -> None:
    async with open_host(config(tmp_path), seams=QUIET):
        with pytest.raises(HostFailed, match=r"process \d+ owns it"):
            async with open_host(config(tmp_path), seams=QUIET):
                pass


@pytest.mark.parametrize("replaced", [False, True])
async def test_a_host_whose_lock_file_is_gone_stops_at_its_next_check(
    tmp_path: Path, *, replaced: bool
) -> None:
    async def lose_the_lock() -> None:
        async with open_host(config(tmp_path), seams=QUIET) as host:
            (tmp_path / "data" / "owner").unlink()
            if replaced:
                (tmp_path / "data" / "owner").touch()
            host.registry.signal(CheckLock())
            await trio.sleep_forever()

    with trio.fail_after(GUARD_S), pytest.raises(HostFailed, match="owner: this lock file was deleted"):
        await lose_the_lock()


async def test_a_host_refuses_v2_db_while_sqlite3_of_its_process_has_it_open(tmp_path: Path) -> None:
    async with open_host(config(tmp_path), seams=QUIET):
        pass
    with closing(sqlite3.connect(tmp_path / "data" / "v2.db")) as connection:
        connection.execute("SELECT * FROM meta").fetchall()
        with pytest.raises(HostFailed, match="close it before the host starts"):
            async with open_host(config(tmp_path), seams=QUIET):
                pass


async def test_a_foreign_database_fails(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with closing(sqlite3.connect(tmp_path / "data" / "v2.db")) as connection:
        connection.execute("CREATE TABLE songs (title TEXT)")
    with pytest.raises(HostFailed, match=r"v2\.db"):
        async with open_host(config(tmp_path), seams=QUIET):
            pass


async def test_a_file_that_is_no_database_fails(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "v2.db").write_bytes(b"not a database" * 100)
    with pytest.raises(HostFailed, match=r"v2\.db"):
        async with open_host(config(tmp_path), seams=QUIET):
            pass


async def test_a_database_of_a_newer_version_fails(tmp_path: Path) -> None:
    async with open_host(config(tmp_path), seams=QUIET):
        pass
    with closing(apsw.Connection(str(tmp_path / "data" / "v2.db"))) as connection:
        connection.execute("INSERT INTO schema_version VALUES (999, 'from-the-future', '')")
    with pytest.raises(HostFailed, match="from-the-future"):
        async with open_host(config(tmp_path), seams=QUIET):
            pass


async def test_data_that_is_no_directory_fails(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(HostFailed, match="data"):
        async with open_host(config(tmp_path), seams=QUIET):
            pass


async def test_two_channels_of_one_name_fail(tmp_path: Path) -> None:
    with pytest.raises(HostFailed, match="same channel_type"):
        async with open_host(config(tmp_path), channels=[FakeChannel(), FakeChannel()], seams=QUIET):
            pass


async def test_a_registry_that_dies_again_and_again_ends_the_host_with_one_exception(tmp_path: Path) -> None:
    async def kill_again_and_again() -> None:
        async with open_host(config(tmp_path), seams=QUIET) as host:
            while True:
                await host.registry.wait_started()
                supervisor(host, "host").kill("registry")
                await trio.lowlevel.checkpoint()

    with trio.fail_after(GUARD_S), pytest.raises(HostFailed, match="was killed"):
        await kill_again_and_again()


@pytest.mark.parametrize(
    "error",
    [
        ValueError("mine"),
        KeyboardInterrupt(),
        Stopped("theirs", "stopped"),
        StoreFull(Path("theirs"), "full"),
        ExceptionGroup("mine", [ValueError("one")]),
    ],
    ids=repr,
)
async def test_an_exception_of_the_body_is_raised_unchanged(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:
        async with open_host(config(tmp_path), seams=QUIET):
            raise error
    assert caught.value is error


async def test_a_cancelled_body_is_cancelled(tmp_path: Path) -> None:
    with trio.CancelScope() as scope:
        async with open_host(config(tmp_path), seams=QUIET):
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught


async def test_a_first_run_that_cannot_be_stored_fails(tmp_path: Path) -> None:
    class Full(ThreadExecutor):
        full = False

        def before_commit(self, path: Path) -> None:
            if self.full:
                raise StoreFull(path, "no space")

    executor = Full()
    async with open_host(config(tmp_path), seams=evolve(QUIET, executor=executor)) as host:
        executor.full = True
        with pytest.raises(HostFailed, match="no space"):
            await host.bootstrap(Address("fake", "a"), "A", owner_id="fake:me", owner_name="Me")
        executor.full = False


async def test_the_status_names_the_chats_whose_messages_cannot_be_stored(tmp_path: Path) -> None:
    class Full(ThreadExecutor):
        full = False

        def before_commit(self, path: Path) -> None:
            if self.full:
                raise StoreFull(path, "the disk is full")

    executor, channel = Full(), FakeChannel()
    seams = evolve(QUIET, executor=executor)
    async with open_host(config(tmp_path), channels=[channel], seams=seams) as host:
        await wire(host, channel.address("a"))
        first, event = (
            InboundEvent(channel.address("a"), id_, ChatMessage(id_, "hello", "Ann", "fake:ann"))
            for id_ in ("0", "1")
        )
        await host.intake.offer(first)
        executor.full = True
        with pytest.raises(NotAccepted):
            await host.intake.offer(event)
        shown = "\n".join(status_lines(plain(await host.status())))
        assert "refused   messages of these chats cannot be stored now" in shown
        assert "  fake:a: " in shown
        assert "the disk is full" in shown
        executor.full = False
        await host.intake.offer(event)
        assert (await host.status()).refused == ()
