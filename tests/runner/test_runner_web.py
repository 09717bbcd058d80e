"""A sandbox's way to the web: a port of its loopback that leads to the proxy, and its variables."""

import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import httpx2
import pytest
import trio

from agent_runner.background import background
from agent_runner.config import RunnerConfig, from_environment
from agent_runner.log import Log
from agent_runner.scripts.processes import ScriptProcesses
from agent_runner.sockets.unix import listening
from agent_runner.sockets.web import VARIABLES, open_web
from agent_runner.system import HttpxClients

Serve = Callable[[trio.SocketStream], Awaitable[None]]
REFUSAL = b"HTTP/1.1 403 the owner has been asked\r\ncontent-length: 4\r\nconnection: close\r\n\r\nasks"


async def refuse(stream: trio.SocketStream) -> None:
    """Be a proxy that refuses everything."""
    async with stream:
        await stream.receive_some(65536)
        await stream.send_all(REFUSAL)


async def count(stream: trio.SocketStream) -> None:
    """Send the number of bytes that came, once the client has sent its last one."""
    async with stream:
        await stream.send_all(b"%d" % sum([len(data) async for data in stream]))


@asynccontextmanager
async def the_web(folder: Path, serve: Serve, *, sandboxed: bool = True) -> AsyncGenerator[dict[str, str]]:
    """Open the port before a proxy. Yield the variables."""
    path, environment = folder / ("long" * 30) / "web.sock", dict[str, str]()
    path.parent.mkdir()
    config = RunnerConfig(web_socket=path, sandboxed=sandboxed)
    async with (
        listening(path) as listener,
        background(partial(trio.serve_listeners, serve, [listener])),
        open_web(config, environment, Log(lambda _line: None)),
    ):
        with trio.fail_after(30):
            yield environment


async def dial(environment: dict[str, str]) -> trio.SocketStream:
    return await trio.open_tcp_stream("127.0.0.1", int(environment["HTTPS_PROXY"].rpartition(":")[2]))


async def test_programs_find_the_proxy_by_the_usual_variables(tmp_path: Path) -> None:
    async with the_web(tmp_path, refuse) as environment:
        assert set(environment) == set(VARIABLES)
        urls = {environment[name] for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")}
        assert len(urls) == 1
        assert environment["NO_PROXY"] == "127.0.0.1,localhost,::1"


@pytest.mark.parametrize(
    "command",
    [
        ("curl", "-s", "http://example.org/"),
        ("curl", "-s", "-o", "/dev/stdout", "-w", "%{http_connect}", "https://example.org/"),
        (sys.executable, "-c", "import urllib.request as r; r.urlopen('https://example.org/')"),
        ("git", "ls-remote", "https://example.org/a.git"),
        (
            sys.executable,
            "-m",
            "pip",
            "download",
            "--retries=1",
            "--no-input",
            "-i",
            "https://example.org",
            "a",
        ),
    ],
    ids=["curl", "curl-tls", "urllib", "git", "pip"],
)
async def test_programs_show_the_refusal_of_the_proxy(tmp_path: Path, command: tuple[str, ...]) -> None:
    async with the_web(tmp_path, refuse) as environment:
        own = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
        everything = {**own, **environment, "PIP_CONFIG_FILE": os.devnull}
        done = await trio.run_process(
            command, env=everything, capture_stdout=True, capture_stderr=True, check=False, cwd=tmp_path
        )
    output = (done.stdout + done.stderr).decode()
    assert any(word in output for word in ("asks", "403", "the owner has been asked")), output


async def test_each_side_ends_by_itself(tmp_path: Path) -> None:
    async with the_web(tmp_path, count) as environment, await dial(environment) as client:
        await client.send_all(bytes(100_000))
        await client.send_eof()
        assert b"".join([bytes(data) async for data in client]) == b"100000"


async def test_a_gateway_that_is_gone_ends_the_connection_alone(tmp_path: Path) -> None:
    async with the_web(tmp_path, refuse) as environment:
        (tmp_path / ("long" * 30) / "web.sock").unlink()
        async with await dial(environment) as client:
            assert await client.receive_some() == b""


async def test_outside_of_a_sandbox_nothing_is_opened(tmp_path: Path) -> None:
    async with the_web(tmp_path, refuse, sandboxed=False) as environment:
        assert environment == {}


async def test_scripts_of_tasks_get_the_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, "")  # so that they are as before after the test
    config = RunnerConfig(web_socket=tmp_path / "web.sock", sandboxed=True)
    async with open_web(config, os.environ, Log(lambda _line: None)):
        assert ScriptProcesses().environment["HTTPS_PROXY"].startswith("http://127.0.0.1:")


async def test_the_runner_s_own_model_is_not_asked_through_the_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def model(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some(65536)
            await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nmodel")

    async with the_web(tmp_path, refuse) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        path = tmp_path / "model.sock"
        async with (
            listening(path) as listener,
            background(partial(trio.serve_listeners, model, [listener])),
            HttpxClients(path).open() as client,
        ):
            assert isinstance(client, httpx2.AsyncClient)
            assert (await client.get("http://gateway/model/models")).text == "model"


def test_the_socket_comes_from_the_environment() -> None:
    assert from_environment({"NANOCLAW_WEB_SOCKET": "/workspace/gateway/web.sock"}).web_socket == Path(
        "/workspace/gateway/web.sock"
    )
    assert from_environment({}).web_socket is None
