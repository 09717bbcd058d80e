"""The server: who may connect, slow and silent clients, and its end."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import structlog
import trio
import trio.testing
from starlette.requests import ClientDisconnect

from nanoclaw.channels.http import guard, messages_api, server
from nanoclaw.channels.http.guard import hosts_of
from nanoclaw.channels.http.keys import stored_as
from nanoclaw.channels.http.rates import Rates
from nanoclaw.channels.protocol import ChannelUnavailable
from nanoclaw.records import Address
from tests.channels.http.http_under_test import KEYS, WITHIN_S, Api, following, http_channel, open_api

ANN = f"authorization: Bearer {KEYS['ann']}\r\n"


async def said(api: Api, request: bytes) -> bytes:
    """Send bytes, and return all that comes until the server closes the connection."""
    async with await trio.open_tcp_stream("127.0.0.1", api.port) as stream:
        await stream.send_all(request)
        found = b""
        with trio.fail_after(WITHIN_S):
            while more := await stream.receive_some():
                found += more
        return found


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "localhost@evil.example"])
async def test_a_page_of_another_name_reaches_nothing(tmp_path: Path, host: str) -> None:
    async with open_api(tmp_path) as api:
        answer = await api.ann.get("/v1/messages", headers={"host": host})
        assert answer.status_code in {400, 421}


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "[::1]:80", "chat.example"])
async def test_its_own_names_are_known(tmp_path: Path, host: str) -> None:
    async with open_api(tmp_path, hosts=["Chat.example"]) as api:
        assert (await api.ann.get("/v1/messages", headers={"host": host})).status_code == 200


def test_the_host_that_it_listens_on_is_one_of_its_names() -> None:
    assert "192.168.1.5" in hosts_of("192.168.1.5", ())
    assert "[fd00::1]" in hosts_of("fd00::1", ())


async def test_a_page_of_another_site_changes_nothing(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        for origin, status in (
            ("https://evil.example", 403),
            ("null", 403),
            (f"http://127.0.0.1:{api.port + 1}", 403),
            ("http://127.0.0.1", 403),
            (f"http://localhost:{api.port}", 403),
            (f"http://127.0.0.1:{api.port}", 202),
        ):
            answer = await api.ann.post("/v1/messages", json={"text": "a"}, headers={"origin": origin})
            assert answer.status_code == status


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("chat.example", "https://chat.example", 202),
        ("chat.example:443", "https://chat.example", 202),
        ("127.0.0.1:1", "https://chat.example", 202),
        ("chat.example", "https://chat.example:8443", 403),
        ("127.0.0.1:1", "https://chat.example:8443", 403),
        ("127.0.0.1:1", "http://localhost", 403),
        ("[::1]:80", "http://[::1]", 202),
        ("[::1]:81", "http://[::1]", 403),
    ],
)
async def test_a_page_is_its_own_by_host_and_port(
    tmp_path: Path, host: str, origin: str, status: int
) -> None:
    async with open_api(tmp_path, hosts=["chat.example"]) as api:
        headers = {"host": host, "origin": origin}
        answer = await api.ann.post("/v1/messages", json={"text": "a"}, headers=headers)
        assert answer.status_code == status


async def test_every_answer_has_the_headers_that_protect(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        for answer in (await api.ann.get("/v1/messages"), await api.anybody.get("/nothing")):
            for name, value in guard.HEADERS.items():
                assert answer.headers[name.decode()] == value.decode()
            assert "server" not in answer.headers


async def test_an_error_of_a_handler_is_an_answer_without_details(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_api(tmp_path) as api:
        monkeypatch.setattr(Rates, "take", lambda *_: 1 / 0)
        answer = await api.ann.get("/v1/messages")
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
        assert "ZeroDivision" not in answer.text


async def test_headers_have_to_come_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEADERS_WITHIN_S", 0.2)
    async with open_api(tmp_path) as api:
        assert await said(api, b"GET /v1/messages HTTP/1.1\r\nhost: loc") == b""


async def test_a_body_has_to_come_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "BODY_WITHIN_S", 0.2)
    async with open_api(tmp_path) as api:
        head = f"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\n{ANN}content-length: 100\r\n\r\n{{"
        assert b" 408 " in await said(api, head.encode())


async def test_headers_have_a_limit(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        assert b" 431 " in await said(api, b"GET / HTTP/1.1\r\nx: " + b"a" * (64 << 10))


async def test_a_body_without_a_length_has_a_limit(tmp_path: Path) -> None:
    async with open_api(tmp_path, largest_upload=1024) as api:

        async def endless() -> AsyncIterator[bytes]:
            for _ in range(1000):
                yield b"x" * 65_536

        try:
            answer = await api.ann.post(
                "/v1/messages",
                content=endless(),
                headers={"content-type": "multipart/form-data; boundary=x"},
            )
        except (httpx2.WriteError, httpx2.ReadError, httpx2.RemoteProtocolError):
            return  # it is cut off while it sends
        assert answer.status_code in {400, 413}


async def test_connections_have_a_limit(tmp_path: Path) -> None:
    async with open_api(tmp_path, connections=2) as api:
        async with following(api.port, "/v1/events"), following(api.port, "/v1/events"):
            assert b" 503 " in await said(api, b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        while (b" 404 ") not in await said(
            api, b"GET /nothing HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        ):
            await trio.testing.wait_all_tasks_blocked()


async def test_websockets_are_refused(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        head = (
            "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
            "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert b" 403 " in await said(api, head.encode())


async def test_it_ends_soon_with_open_streams_and_polls(tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery:
        async with open_api(tmp_path) as api, following(api.port, "/v1/events"):
            ended = trio.Event()

            async def poll() -> None:
                answer = await api.ann.get("/v1/messages?wait=60")
                assert answer.json()["messages"] == []
                ended.set()

            nursery.start_soon(poll)
            await trio.testing.wait_all_tasks_blocked()
            begun = trio.current_time()
            api.sender.server.closing.set()
            await ended.wait()
        assert trio.current_time() - begun < 2


async def test_it_ends_soon_with_a_client_that_does_not_read(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        for n in range(40):
            await api.answers("x" * 200_000, id=f"out-{n}")
        stream = await trio.open_tcp_stream("127.0.0.1", api.port)
        await stream.send_all(f"GET /v1/events?after=0 HTTP/1.1\r\nhost: localhost\r\n{ANN}\r\n".encode())
        await trio.testing.wait_all_tasks_blocked(0.05)
        begun = trio.current_time()
    await stream.aclose()
    assert trio.current_time() - begun < 2


async def test_an_address_in_use_is_said_to_be(tmp_path: Path) -> None:
    async with open_api(tmp_path / "one") as api:
        second = http_channel(tmp_path / "two", {"listen": f"127.0.0.1:{api.port}"})
        with pytest.raises(ChannelUnavailable, match=f"127.0.0.1:{api.port}: another program uses it"):
            async with second.sender():
                pass
    async with second.sender() as sender:  # the other one is gone
        assert await sender.open_dm("http:ann") == Address("http", "ann")  # type: ignore[attr-defined]  # it has it


async def test_a_stream_ends_when_its_key_is_revoked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages_api, "PING_S", 0.01)
    async with open_api(tmp_path) as api, following(api.port, "/v1/events") as events:
        await api.sender.server.state.delete(stored_as(KEYS["ann"]))
        with trio.fail_after(WITHIN_S):
            while await events.line() != "0":  # the last chunk
                pass


async def test_a_client_that_leaves_in_the_middle_is_no_error() -> None:
    async def app(*_: object) -> None:
        await trio.lowlevel.checkpoint()
        raise ClientDisconnect

    async def unused(*_: object) -> Any:
        raise AssertionError("nobody is there to be answered")

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"host", b"localhost")]}
    with structlog.testing.capture_logs() as logs:
        await guard.Guard(app, {"localhost"}, 1)(scope, unused, unused)
    assert logs == []
