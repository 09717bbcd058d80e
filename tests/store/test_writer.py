import copy
import pickle
from pathlib import Path
from typing import Any

import apsw
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from outcome import Error, Value
from trio.testing import MockClock

from nanoclaw.store import Conflict, StoreBusy, StoreClosed, StoreError, StoreFull, TooBig, Writer
from nanoclaw.testing.world.executor import InlineExecutor
from tests.store.openings import KillAt, Killed, a_session, keys, on_disk, put

# -- whole transactions --------------------------------------------------------


async def test_a_change_is_on_disk_when_run_returns(tmp_path: Path) -> None:
    async with a_session(tmp_path) as writer:
        await writer.run(put, "a", value="1")
        assert on_disk(writer.path) == ["a"]


async def test_a_function_that_raises_changes_nothing(tmp_path: Path) -> None:
    def fail(connection: apsw.Connection) -> None:
        put(connection, "a")
        raise ValueError("no")

    async with a_session(tmp_path) as writer:
        with pytest.raises(ValueError, match="no"):
            await writer.run(fail)
        assert await writer.run(keys) == []


async def test_tasks_that_share_a_writer_take_turns(tmp_path: Path) -> None:
    def add_one(connection: apsw.Connection) -> None:
        n = connection.execute("SELECT value FROM meta WHERE key = 'n'").get
        connection.execute("UPDATE meta SET value = ? WHERE key = 'n'", (str(int(n) + 1),))

    async with a_session(tmp_path) as writer:
        await writer.run(put, "n", "0")
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(writer.run, add_one)
        assert await writer.run(lambda c: c.execute("SELECT value FROM meta").get) == "20"


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_kill_at_the_commit_keeps_all_or_nothing(tmp_path: Path, when: Any) -> None:
    executor = InlineExecutor()
    async with a_session(tmp_path, executor) as writer:
        executor.on_commit = KillAt(when, executor.commits + 1)
        with pytest.raises(Killed):
            await writer.run(put, "a")
        assert on_disk(writer.path) == ([] if when == "before" else ["a"])


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.booleans()), max_size=8))
@settings(max_examples=20, deadline=None)
def test_only_the_items_that_raise_are_rolled_back(
    tmp_path_factory: pytest.TempPathFactory, items: list[tuple[str, bool]]
) -> None:
    def insert(connection: apsw.Connection, item: tuple[str, bool]) -> str:
        put(connection, item[0])
        if item[1]:
            raise ValueError(item[0])
        return item[0]

    async def main() -> None:
        async with a_session(tmp_path_factory.mktemp("many")) as writer:
            outcomes = await writer.run_each(insert, items)
            accepted = [outcome.value for outcome in outcomes if isinstance(outcome, Value)]
            assert len(outcomes) == len(items)
            assert on_disk(writer.path) == sorted(accepted)
            assert {key for key, fails in items if not fails} == set(accepted)

    trio.run(main)


async def test_an_item_in_conflict_gets_a_conflict_error(tmp_path: Path) -> None:
    async with a_session(tmp_path) as writer:
        outcomes = await writer.run_each(put, ["a", "a", "b"])
        assert [type(outcome) for outcome in outcomes] == [Value, Error, Value]
        assert isinstance(outcomes[1], Error)
        assert isinstance(outcomes[1].error, Conflict)


async def test_an_item_that_ends_the_transaction_ends_it_for_all(tmp_path: Path) -> None:
    def insert(connection: apsw.Connection, key: str) -> None:
        connection.execute("INSERT OR ROLLBACK INTO meta (key, value) VALUES (?, 'x')", (key,))

    async with a_session(tmp_path) as writer:
        with pytest.raises(Conflict):
            await writer.run_each(insert, ["a", "b", "a", "c"])
        assert on_disk(writer.path) == []


async def test_a_function_that_commits_by_itself_is_refused(tmp_path: Path) -> None:
    async with a_session(tmp_path) as writer:
        with pytest.raises(StoreError, match="ended the transaction itself"):
            await writer.run(lambda connection: connection.execute("COMMIT").fetchall())


async def test_a_result_that_would_read_after_the_commit_is_refused(tmp_path: Path) -> None:
    async def later() -> None: ...

    def return_it(_connection: apsw.Connection) -> object:
        return coroutine

    async with a_session(tmp_path) as writer:
        with pytest.raises(TypeError, match="after the commit"):
            await writer.run(lambda connection: connection.execute("SELECT * FROM meta"))
        coroutine = later()
        with pytest.raises(TypeError, match="after the commit"):
            await writer.run(return_it)
        coroutine.close()


# -- locks ---------------------------------------------------------------------


def other(path: Path) -> apsw.Connection:
    """A reader that begins a transaction and stays in it."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    connection.execute("BEGIN")
    keys(connection)
    return connection


async def test_a_commit_waits_for_readers_and_runs_its_function_once(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    del autojump_clock
    calls: list[str] = []

    def insert(connection: apsw.Connection) -> None:
        calls.append("once")
        put(connection, "a")

    async with a_session(tmp_path) as writer, trio.open_nursery() as nursery:
        reader = other(writer.path)
        start = trio.current_time()
        nursery.start_soon(writer.run, insert)
        await trio.sleep(3)
        with pytest.raises(apsw.BusyError):  # PENDING keeps new readers out, so that the old ones drain
            on_disk(writer.path)
        reader.close()
        await writer.run(put, "b")
        assert trio.current_time() - start < 3.1
        assert (calls, on_disk(writer.path)) == (["once"], ["a", "b"])


async def test_a_writer_times_out_after_five_seconds_and_can_be_used_again(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    del autojump_clock
    async with a_session(tmp_path) as writer:
        reader = other(writer.path)
        start = trio.current_time()
        with pytest.raises(StoreBusy, match=r"inbound\.db"):
            await writer.run(put, "a")
        assert 5 <= trio.current_time() - start < 5.1
        reader.close()
        await writer.run(put, "b")
        assert on_disk(writer.path) == ["b"]


async def test_a_caller_cancelled_while_it_waits_has_committed_nothing(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    del autojump_clock
    async with a_session(tmp_path) as writer:
        reader = other(writer.path)
        with trio.move_on_after(1) as scope:
            await writer.run(put, "a")
        assert scope.cancelled_caught
        reader.close()
        assert on_disk(writer.path) == []
        await writer.run(put, "b")
        assert on_disk(writer.path) == ["b"]


async def test_the_end_of_the_scope_waits_for_the_running_transaction(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    del autojump_clock
    async with trio.open_nursery() as nursery:
        async with a_session(tmp_path) as writer:
            reader = other(writer.path)
            nursery.start_soon(lambda: writer.run(put, "a"))
            await trio.sleep(1)
            reader.close()
        assert on_disk(writer.path) == ["a"]


# -- what SQLite says ----------------------------------------------------------


async def test_a_conflict_names_the_file(tmp_path: Path) -> None:
    async with a_session(tmp_path) as writer:
        await writer.run(put, "a")
        with pytest.raises(Conflict, match=r"inbound\.db.*UNIQUE"):
            await writer.run(put, "a")


async def test_a_row_of_ten_megabytes_is_stored(tmp_path: Path) -> None:
    async with a_session(tmp_path) as writer:
        await writer.run(put, "big", "x" * 10_000_000)
        assert await writer.run(lambda c: c.execute("SELECT length(value) FROM meta").get) == 10_000_000


async def test_a_row_over_the_limit_is_refused_with_advice(tmp_path: Path) -> None:
    def insert(connection: apsw.Connection) -> None:
        connection.limit(apsw.SQLITE_LIMIT_LENGTH, 1000)
        put(connection, "big", "x" * 2000)

    async with a_session(tmp_path) as writer:
        with pytest.raises(TooBig, match="store it as a file"):
            await writer.run(insert)


async def test_a_full_disk_fails_only_the_current_transaction(tmp_path: Path) -> None:
    def bound(connection: apsw.Connection, pages: int) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages}").fetchall()

    async with a_session(tmp_path) as writer:
        await writer.run(bound, 1)
        with pytest.raises(StoreFull, match="free some space"):
            await writer.run(put, "a", "x" * 100_000)
        await writer.run(bound, 1_000_000)
        await writer.run(put, "b")
        assert on_disk(writer.path) == ["b"]


async def test_a_connection_that_cannot_roll_back_is_replaced(tmp_path: Path) -> None:
    seen: list[apsw.Connection] = []

    def break_it(connection: apsw.Connection) -> None:
        def trace(_cursor: object, sql: str, _bindings: object) -> bool:
            if sql == "ROLLBACK":
                raise apsw.IOError("disk trouble")
            return True

        put(connection, "a")
        connection.exec_trace = trace
        seen.append(connection)
        raise ValueError("no")

    async with a_session(tmp_path) as writer:
        with pytest.raises(ValueError, match="no"):
            await writer.run(break_it)
        await writer.run(put, "b")
        assert on_disk(writer.path) == ["b"]
        await writer.run(seen.append)
        assert seen[0] is not seen[1]


# -- one way to a writer -------------------------------------------------------


async def test_a_writer_cannot_be_used_after_its_scope(tmp_path: Path) -> None:
    async with a_session(tmp_path) as writer:
        pass
    with pytest.raises(StoreClosed):
        await writer.run(keys)


async def test_a_writer_cannot_be_copied_pickled_or_constructed_directly(tmp_path: Path) -> None:
    async with a_session(tmp_path) as writer:
        for act in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError, match="one owner"):
                act(writer)
    with pytest.raises(TypeError, match="own_central"):
        Writer(None)  # type: ignore[arg-type]  # the mistake under test
    with pytest.raises(TypeError, match="final"):
        type("Sub", (Writer,), {})
