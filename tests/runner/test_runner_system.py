"""The real seams."""

import sys
from contextlib import closing

import apsw
import pytest
import trio

from agent_runner.seams import Wakeup
from agent_runner.system import PollingWakeups, SystemClock, ThreadExecutor, wakeups
from tests.runner.world import World

GUARD = 10


async def test_a_commit_wakes_and_several_wake_once(world: World) -> None:
    async with wakeups().open(world.config.inbound_db.parent) as wakeup:
        world.put(2)
        world.put(4)
        with trio.fail_after(GUARD):
            await wakeup.wait()
        if sys.platform == "linux":
            assert not await wakes(wakeup)


async def wakes(wakeup: Wakeup) -> bool:
    """Whether it returns without anything more happening."""
    with trio.CancelScope() as scope:
        scope.cancel()
        await wakeup.wait()
    return not scope.cancelled_caught


@pytest.mark.skipif(sys.platform != "linux", reason="polling wakes for anything")
async def test_what_is_no_commit_does_not_wake(world: World) -> None:
    folder = world.config.inbound_db.parent
    async with wakeups().open(folder) as wakeup:
        (folder / "x").write_text("")
        (folder / "x").unlink()
        with closing(apsw.Connection(str(world.config.inbound_db))) as connection:
            connection.execute("SELECT * FROM meta").fetchall()
        assert not await wakes(wakeup)


async def test_a_directory_that_cannot_be_watched_is_polled(world: World) -> None:
    async with wakeups().open(world.root / "none") as wakeup:
        with trio.fail_after(GUARD):
            await wakeup.wait()


async def test_polling_wakes_by_itself(world: World) -> None:
    async with PollingWakeups().open(world.root) as wakeup:
        with trio.fail_after(GUARD):
            await wakeup.wait()


async def test_a_cancelled_call_is_waited_for() -> None:
    finished = trio.Event()

    def call() -> None:
        trio.from_thread.run_sync(scope.cancel)
        trio.from_thread.run_sync(finished.set)

    with trio.CancelScope() as scope:
        await ThreadExecutor().run(call)
    assert finished.is_set()


def test_the_clock_tells_utc() -> None:
    assert str(SystemClock().now().tzinfo) == "UTC"
