"""The forwarder: a port on loopback that leads to the gateway's socket, for those who know its key."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
import trio

from agent_runner.background import background
from agent_runner.sockets.forwarder import Forwarder, open_forwarder
from agent_runner.sockets.unix import listening

Serve = Callable[[trio.SocketStream], Awaitable[None]]


async def echo(stream: trio.SocketStream) -> None:
    async with stream:
        async for data in stream:
            await stream.send_all(data)


@asynccontextmanager
async def forwarding(folder: Path, serve: Serve = echo) -> AsyncGenerator[Forwarder]:
    path = folder / ("long" * 30) / "gateway.sock"
    path.parent.mkdir()
    async with (
        listening(path) as listener,
        background(partial(trio.serve_listeners, serve, [listener])),
        open_forwarder(path) as forwarder,
    ):
        with trio.fail_after(30):
            yield forwarder


async def dial(forwarder: Forwarder) -> trio.SocketStream:
    return await trio.open_tcp_stream("127.0.0.1", int(forwarder.url.rpartition(":")[2]))


def head(key: str, header: str = "x-api-key") -> bytes:
    return f"POST /model/v1/messages HTTP/1.1\r\nHost: 127.0.0.1\r\n{header}: {key}\r\n\r\n".encode()


async def everything(stream: trio.SocketStream) -> bytes:
    return b"".join([bytes(data) async for data in stream])


async def test_a_client_with_the_key_is_passed_on_unchanged(tmp_path: Path) -> None:
    async with forwarding(tmp_path) as forwarder, await dial(forwarder) as client:
        sent = head(forwarder.key) + b"body"
        await client.send_all(sent)
        received = b""
        while len(received) < len(sent):
            received += bytes(await client.receive_some())
    assert received == sent


async def test_the_key_may_be_a_bearer_token(tmp_path: Path) -> None:
    async with forwarding(tmp_path) as forwarder, await dial(forwarder) as client:
        await client.send_all(head(f"Bearer {forwarder.key}", "authorization"))
        assert bytes(await client.receive_some()).startswith(b"POST")


async def test_others_are_refused_and_the_gateway_hears_nothing(tmp_path: Path) -> None:
    heard: list[bytes] = []

    async def hear(stream: trio.SocketStream) -> None:
        heard.append(bytes(await stream.receive_some()))

    async with forwarding(tmp_path, hear) as forwarder:
        for wrong in (
            head("wrong"),
            head(""),
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"\x16\x03\x01 no http\r\n\r\n",
        ):
            async with await dial(forwarder) as client:
                await client.send_all(wrong)
                answer = await everything(client)
                assert answer.startswith((b"HTTP/1.1 401", b"HTTP/1.1 400"))
                assert b"nanoclaw_forbidden" in answer
    assert heard == []


async def test_each_forwarder_has_a_key_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    async with forwarding(tmp_path / "a") as one, forwarding(tmp_path / "b") as other:
        assert one.key != other.key
        assert one.key not in repr(one)
        async with await dial(one) as client:
            await client.send_all(head(other.key))
            assert (await everything(client)).startswith(b"HTTP/1.1 401")


async def test_a_head_without_an_end_ends_the_connection(tmp_path: Path) -> None:
    async with forwarding(tmp_path) as forwarder, await dial(forwarder) as client:
        with suppress(trio.BrokenResourceError):  # it is closed while the rest of the head arrives
            await client.send_all(b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 20_000)
            answer = await everything(client)
            assert answer.startswith(b"HTTP/1.1 4")


async def test_a_silent_client_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent_runner.sockets.forwarder.HEAD_TIMEOUT", 0.1)
    async with forwarding(tmp_path) as forwarder, await dial(forwarder) as client:
        assert await everything(client) == b""


async def test_without_a_gateway_the_client_is_told(tmp_path: Path) -> None:
    async with open_forwarder(tmp_path / "nobody.sock") as forwarder, await dial(forwarder) as client:
        await client.send_all(head(forwarder.key))
        answer = await everything(client)
    assert answer.startswith(b"HTTP/1.1 502")
    assert b"nanoclaw_upstream" in answer


async def test_a_client_that_leaves_ends_the_request_at_the_gateway(tmp_path: Path) -> None:
    begun, ended = trio.Event(), trio.Event()

    async def wait(stream: trio.SocketStream) -> None:
        begun.set()
        await everything(stream)
        ended.set()

    async with forwarding(tmp_path, wait) as forwarder:
        async with await dial(forwarder) as client:
            await client.send_all(head(forwarder.key))
            await begun.wait()
        await ended.wait()


async def test_the_end_of_the_gateway_reaches_the_client(tmp_path: Path) -> None:
    async def answer(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1_000_000)
        await stream.aclose()

    async with forwarding(tmp_path, answer) as forwarder, await dial(forwarder) as client:
        await client.send_all(head(forwarder.key))
        assert len(await everything(client)) > 1_000_000


async def test_a_slow_client_holds_the_gateway_back(tmp_path: Path) -> None:
    sent = 0
    stuck = trio.Event()

    async def flood(stream: trio.SocketStream) -> None:
        nonlocal sent
        for _ in range(10_000):
            with trio.move_on_after(0.5) as scope:
                await stream.send_all(b"x" * 100_000)
                sent += 1
            if scope.cancelled_caught:
                stuck.set()
                return

    async with forwarding(tmp_path, flood) as forwarder, await dial(forwarder) as client:
        await client.send_all(head(forwarder.key))
        await stuck.wait()
    assert sent < 1_000


async def test_closing_ends_all_connections(tmp_path: Path) -> None:
    async with forwarding(tmp_path) as forwarder:
        client = await dial(forwarder)
        await client.send_all(head(forwarder.key))
        await client.receive_some()
    async with client:
        assert await everything(client) == b""
