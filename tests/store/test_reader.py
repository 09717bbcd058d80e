import threading
from pathlib import Path

import apsw
import pytest
import trio
from trio.testing import MockClock

from nanoclaw.store import (
    CannotOpen,
    HotJournal,
    ReadOnlyStore,
    StoreBusy,
    StoreClosed,
    ThreadExecutor,
    open_reader,
)
from nanoclaw.testing.world.executor import InlineExecutor
from tests.store.openings import a_session, central, keys, leave_hot_journal, put


async def test_a_reader_sees_committed_changes(tmp_path: Path) -> None:
    async with central(tmp_path) as writer, open_reader(writer.path, InlineExecutor()) as reader:
        assert await reader.run(keys) == []
        await writer.run(put, "a")
        assert await reader.run(keys) == ["a"]


async def test_a_reader_cannot_write(tmp_path: Path) -> None:
    async with central(tmp_path) as writer, open_reader(writer.path, InlineExecutor()) as reader:
        with pytest.raises(ReadOnlyStore):
            await reader.run(put, "a")
        assert await reader.run(keys) == []


async def test_one_read_sees_one_consistent_state(tmp_path: Path) -> None:
    executor = ThreadExecutor()
    first_look, written = trio.Event(), threading.Event()
    loop = trio.lowlevel.current_trio_token()

    def look_twice(connection: apsw.Connection) -> tuple[list[str], list[str]]:
        first = keys(connection)
        loop.run_sync_soon(first_look.set)
        written.wait(10)
        return first, keys(connection)

    async with central(tmp_path) as writer, open_reader(writer.path, executor) as reader:
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:

                async def write() -> None:
                    await first_look.wait()
                    await writer.run(put, "a")
                    written.set()

                nursery.start_soon(write)
                assert await reader.run(look_twice) == ([], [])
                assert await reader.run(keys) == ["a"]


async def test_two_tasks_read_at_the_same_time(tmp_path: Path) -> None:
    both = threading.Barrier(2)
    async with central(tmp_path) as writer, open_reader(writer.path, ThreadExecutor()) as reader:
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                for _ in range(2):
                    nursery.start_soon(reader.run, lambda _connection: both.wait(10))


async def test_a_missing_file_is_reported_when_it_is_opened(tmp_path: Path) -> None:
    with pytest.raises(CannotOpen, match=r"none\.db.*check that it exists"):
        async with open_reader(tmp_path / "none.db", InlineExecutor()):
            pass


async def test_a_locked_file_is_waited_for(tmp_path: Path, autojump_clock: MockClock) -> None:
    del autojump_clock
    async with a_session(tmp_path) as writer:
        path = writer.path
    async with open_reader(path, InlineExecutor()) as reader, trio.open_nursery() as nursery:
        other = apsw.Connection(str(path))
        other.execute("BEGIN EXCLUSIVE")
        put(other, "a")

        async def commit_later() -> None:
            await trio.sleep(2)
            other.execute("COMMIT")

        nursery.start_soon(commit_later)
        assert await reader.run(keys) == ["a"]
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreBusy):
            await reader.run(keys)
        other.close()


async def test_a_dead_writers_journal_is_waited_for_and_then_reported(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    del autojump_clock
    async with a_session(tmp_path) as writer:
        path = writer.path
    leave_hot_journal(path)
    start = trio.current_time()
    with pytest.raises(HotJournal, match="start the writer"):
        async with open_reader(path, InlineExecutor()):
            pass
    assert 5 <= trio.current_time() - start < 5.1


async def test_a_reader_cannot_be_used_after_its_scope(tmp_path: Path) -> None:
    async with central(tmp_path) as writer:
        async with open_reader(writer.path, InlineExecutor()) as reader:
            pass
        with pytest.raises(StoreClosed):
            await reader.run(keys)
