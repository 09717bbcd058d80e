"""The real seams."""

import sys
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Self

import apsw
import httpx2
import pytest
import trio
import trio.testing

from agent_runner.changes import Changes
from agent_runner.errors import ProviderError
from agent_runner.system import HttpxClients, PollingWakeups, SystemClock, ThreadExecutor, wakeups
from nanoclaw.system.sockets import nameable
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


async def _answers_once(path: Path, task_status: trio.TaskStatus[None]) -> None:
    """Be a gateway that answers one request with its head."""
    listener = trio.socket.socket(trio.socket.AF_UNIX)
    with nameable(path) as name:
        await listener.bind(name)
    listener.listen(1)
    task_status.started()
    with listener:
        connection, _ = await listener.accept()
        async with trio.SocketStream(connection) as stream:
            head = bytes(await stream.receive_some(65536)).split(b"\r\n\r\n")[0]
            await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(head), head))


@pytest.mark.parametrize("folder", ["short", "x" * 150])
async def test_with_a_socket_every_request_goes_to_the_gateway(
    tmp_path: Path, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # it must not be used
    (tmp_path / folder).mkdir()
    path = tmp_path / folder / "model.sock"
    async with trio.open_nursery() as nursery:
        await nursery.start(_answers_once, path)
        async with HttpxClients(path).open() as client:
            response = await client.request("GET", "http://gateway/model/models")
    head = (await response.aread()).decode()
    assert head.startswith("GET /model/models HTTP/1.1")
    assert "gateway" in head


async def test_a_socket_that_is_not_there_fails_the_request_and_not_the_provider(tmp_path: Path) -> None:
    async with HttpxClients(tmp_path / "none.sock").open() as client:
        with pytest.raises(httpx2.ConnectError):
            await client.request("GET", "http://gateway/model/models")
