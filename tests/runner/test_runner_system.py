"""The real seams."""

import sys
from contextlib import closing
from types import SimpleNamespace
from typing import Self

import apsw
import pytest
import trio
import trio.testing

from agent_runner.changes import Changes
from agent_runner.errors import ProviderError
from agent_runner.system import HttpxClients, PollingWakeups, SystemClock, ThreadExecutor, wakeups
from tests.runner.world import World

GUARD = 10


async def test_a_commit_wakes_and_several_wake_once(world: World) -> None:
    changes = Changes()
    async with wakeups().watch(world.config.inbound_db.parent, changes.note):
        world.put(2)
        world.put(4)
        with trio.fail_after(GUARD):
            await changes.after(0)
        if sys.platform == "linux":
            assert not await wakes(changes)


async def wakes(changes: Changes) -> bool:
    """Return True if it wakes again without another event."""
    before = changes.count
    await trio.testing.wait_all_tasks_blocked()
    return changes.count > before


@pytest.mark.skipif(sys.platform != "linux", reason="polling wakes for anything")
async def test_only_commits_wake(world: World) -> None:
    folder, changes = world.config.inbound_db.parent, Changes()
    async with wakeups().watch(folder, changes.note):
        (folder / "x").write_text("")
        (folder / "x").unlink()
        with closing(apsw.Connection(str(world.config.inbound_db))) as connection:
            connection.execute("SELECT * FROM meta").fetchall()
        assert not await wakes(changes)


async def test_a_directory_that_cannot_be_watched_is_polled(world: World) -> None:
    changes = Changes()
    async with wakeups().watch(world.root / "none", changes.note):
        with trio.fail_after(GUARD):
            await changes.after(0)


async def test_polling_wakes_by_itself(world: World) -> None:
    changes = Changes()
    async with PollingWakeups().watch(world.root, changes.note):
        with trio.fail_after(GUARD):
            await changes.after(0)


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


async def test_an_http_client_is_httpx2_s_own_and_closed_with_its_provider(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    events: list[str] = []

    class AsyncClient:
        async def __aenter__(self) -> Self:
            events.append("opened")
            return self

        async def __aexit__(self, *_error: object) -> None:
            events.append("closed")

    monkeypatch.setitem(sys.modules, "httpx2", SimpleNamespace(AsyncClient=AsyncClient))
    async with HttpxClients().open() as client:
        assert isinstance(client, AsyncClient)
        assert events == ["opened"]
    assert events == ["opened", "closed"]


async def test_without_httpx2_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx2", None)
    with pytest.raises(ProviderError, match="httpx2 is not installed; install it where the runner runs"):
        async with HttpxClients().open():
            pass
