import os
import threading
from contextvars import ContextVar
from pathlib import Path

import pytest
import trio

from nanoclaw.store import Executor, ThreadExecutor
from nanoclaw.store.engine.executor import LANE_WIDTHS
from nanoclaw.testing.world.executor import InlineExecutor
from tests.store.openings import a_session, paths_in, put


async def test_work_that_has_started_is_not_cancelled_and_returns_its_outcome() -> None:
    executor: Executor = ThreadExecutor()
    begun, may_end = trio.Event(), threading.Event()
    loop = trio.lowlevel.current_trio_token()

    def work() -> str:
        loop.run_sync_soon(begun.set)
        may_end.wait(10)
        return "done"

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            outcome: list[str] = []

            async def caller() -> None:
                outcome.append(await executor.run(work))

            nursery.start_soon(caller)
            await begun.wait()
            nursery.cancel_scope.cancel()
            may_end.set()
    assert outcome == ["done"]


async def test_work_cancelled_before_it_starts_never_runs() -> None:
    for executor in (ThreadExecutor(), InlineExecutor()):
        done: list[int] = []
        with trio.CancelScope() as scope:
            scope.cancel()
            await executor.run(lambda done=done: done.append(1))  # type: ignore[misc]  # a default, not an argument
        assert not done


async def test_work_runs_in_the_context_of_its_caller_and_its_error_is_raised_there() -> None:
    executor, name = ThreadExecutor(), ContextVar("name", default="")
    name.set("caller")

    def fail() -> None:
        raise ValueError(name.get())

    for _ in range(3):
        with pytest.raises(ValueError, match="caller"):
            await executor.run(fail)


@pytest.mark.skipif(not hasattr(os, "eventfd"), reason="this platform has no event descriptors")
async def test_work_is_done_also_when_descriptors_are_exhausted(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "eventfd", exhausted)
    assert await ThreadExecutor().run(lambda: "done") == "done"


@pytest.mark.skipif(not hasattr(os, "eventfd"), reason="this platform has no event descriptors")
async def test_an_executor_that_is_gone_holds_no_descriptors() -> None:
    def descriptors() -> set[Path]:
        return {each for each in Path("/proc/self/fd").iterdir() if _target(each) == "anon_inode:[eventfd]"}

    before = descriptors()
    executor = ThreadExecutor()
    async with trio.open_nursery() as nursery:
        for _ in range(30):
            nursery.start_soon(executor.run, int)
    assert 1 <= len(descriptors() - before) <= LANE_WIDTHS["write"]
    del executor
    assert not descriptors() - before


def _target(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except OSError:  # that of the listing itself
        return ""


async def test_hostile_reads_do_not_block_writes() -> None:
    executor = ThreadExecutor()
    release = threading.Event()
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(lambda: executor.run(lambda: release.wait(10), lane="untrusted"))
            await trio.testing.wait_all_tasks_blocked()
            assert await executor.run(lambda: "written", lane="write") == "written"
            release.set()


async def test_subscribers_are_notified_of_commits_in_a_directory_until_they_unsubscribe(
    tmp_path: Path,
) -> None:
    executor = InlineExecutor()
    heard: list[str] = []
    paths = paths_in(tmp_path)
    leave = executor.subscribe(paths.inbound_dir, lambda: heard.append("inbound"))
    executor.subscribe(paths.outbound_dir, lambda: heard.append("outbound"))
    async with a_session(tmp_path, executor) as writer:
        heard.clear()
        await writer.run(put, "a")
        assert heard == ["inbound"]
        leave()
        before = executor.commits
        await writer.run(put, "b")
        assert (heard, executor.commits - before) == (["inbound"], 1)
