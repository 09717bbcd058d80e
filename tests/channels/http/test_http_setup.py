"""`nanoclaw channels add http` finds out whether the server can listen."""

import socket
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx2
import pytest
import trio

from nanoclaw import Address
from nanoclaw.channels.factory import ChannelContext, SetupFailed
from nanoclaw.channels.http.checking import check
from nanoclaw.channels.http.config import HttpConfig
from tests.channels.killed_host import prepare, running
from tests.host.homes import GUARD_S


@pytest.fixture
def context(tmp_path: Path) -> ChannelContext:
    return ChannelContext("http", tmp_path, "UTC", "Nano")


@pytest.fixture
def taken() -> Iterator[str]:
    """Return an address on which a program listens that is no host."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


async def test_a_free_address_is_the_account(context: ChannelContext) -> None:
    account = await check(HttpConfig("127.0.0.1:0"), context)
    assert account.name == "http://127.0.0.1:0"


async def test_an_address_of_another_program_is_refused(
    context: ChannelContext, taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nanoclaw.channels.http.checking.ANSWERS_WITHIN_S", 0.05)
    with pytest.raises(SetupFailed, match=f"another program listens on {taken}"):
        await check(HttpConfig(taken), context)


async def test_a_server_that_is_started_again_serves(tmp_path: Path) -> None:
    """`nanoclaw channels add` starts it in the running host, also in place of one that runs."""
    home = tmp_path / "home"
    address = f"127.0.0.1:{free_port()}"
    await prepare(home, f'[channels.http]\nlisten = "{address}"\n', Address("http", "ann"))
    async with running(home):
        with trio.fail_after(GUARD_S):
            await served(address)
            await command(home, "channels", "start", "http")
            await served(address)
            assert f"url    http://{address}/chat/#login=" in await command(home, "web")


async def command(home: Path, *words: str) -> str:
    """Run a command of `nanoclaw`. Return what it prints."""
    line = [sys.executable, "-m", "nanoclaw", *words, "--home", str(home)]
    return (await trio.run_process(line, capture_stdout=True)).stdout.decode()


async def served(address: str) -> None:
    """Wait until the server asks for a key."""
    async with httpx2.AsyncClient(trust_env=False) as client:
        while True:
            try:
                answer = await client.get(f"http://{address}/v1/models")
            except httpx2.HTTPError:
                await trio.sleep(0.02)  # the process tells nobody that it listens
            else:
                assert answer.status_code == 401
                return


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        return int(server.getsockname()[1])
