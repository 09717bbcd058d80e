"""The runner's transport to the model gateway, with a gateway that says exactly what a test wants."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import httpx2
import pytest
import trio
import trio.testing
from attrs import define, field

from agent_runner.background import background
from agent_runner.sockets.gateway import GatewayTransport
from agent_runner.sockets.unix import listening

WHOLE = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n"
URL = "http://gateway/model/models"


@define(eq=False)
class _Gateway:
    """Says its words to each request of each connection, and closes the connection after the last ones."""

    words: Sequence[Sequence[bytes]]
    connections: int = 0
    requests: list[bytes] = field(factory=list)
    left: trio.Event = field(factory=trio.Event)
    """Set when the runner closes a connection."""

    async def serve(self, stream: trio.SocketStream) -> None:
        words = self.words[self.connections]
        self.connections += 1
        async with stream:
            for said in words:
                if not (request := await _received(stream)):
                    self.left.set()
                    return
                self.requests.append(request)
                await stream.send_all(said)


async def _received(stream: trio.SocketStream) -> bytes:
    """Return what arrives, or nothing once the runner has closed the connection."""
    with suppress(trio.BrokenResourceError):
        return bytes(await stream.receive_some(65_536))
    return b""


@asynccontextmanager
async def _client(
    folder: Path, *words: Sequence[bytes], read_s: float | None = None
) -> AsyncIterator[tuple[httpx2.AsyncClient, _Gateway]]:
    gateway, path = _Gateway(words), folder / "model.sock"
    async with (
        listening(path) as listener,
        background(partial(trio.serve_listeners, gateway.serve, [listener])),
    ):
        transport, timeout = GatewayTransport(str(path)), httpx2.Timeout(None, read=read_s)
        async with httpx2.AsyncClient(transport=transport, timeout=timeout) as client:
            yield client, gateway


async def test_requests_one_after_the_other_share_a_connection(tmp_path: Path) -> None:
    async with _client(tmp_path, [WHOLE, WHOLE]) as (client, gateway):
        answers = [(await client.post(URL, content=b"question")).text for _ in range(2)]
    assert answers == ["hi", "hi"]
    assert gateway.connections == 1
    assert all(request.endswith(b"\r\n\r\nquestion") for request in gateway.requests)


async def test_a_connection_that_the_gateway_closed_is_not_used_again(tmp_path: Path) -> None:
    async with _client(tmp_path, [WHOLE], [WHOLE]) as (client, gateway):
        for _ in range(2):
            assert (await client.get(URL)).text == "hi"
            await trio.testing.wait_all_tasks_blocked()
    assert gateway.connections == 2


async def test_an_answer_that_is_left_early_ends_the_request_at_the_gateway(tmp_path: Path) -> None:
    async with _client(tmp_path, [CHUNKED, WHOLE]) as (client, gateway):
        async with client.stream("GET", URL) as response:
            assert response.status_code == 200
        with trio.fail_after(5):
            await gateway.left.wait()


async def test_interim_answers_are_passed_over(tmp_path: Path) -> None:
    async with _client(tmp_path, [b"HTTP/1.1 103 Early Hints\r\n\r\n" + WHOLE]) as (client, _):
        assert (await client.get(URL)).status_code == 200


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (b"", httpx2.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhi", httpx2.RemoteProtocolError),
        (b"good morning\r\n\r\n", httpx2.RemoteProtocolError),
    ],
    ids=["nothing", "a part", "no HTTP"],
)
async def test_an_answer_that_is_cut_or_no_http_is_an_error_of_the_transport(
    tmp_path: Path, said: bytes, error: type[Exception]
) -> None:
    async with _client(tmp_path, [said]) as (client, _):
        with pytest.raises(error):
            await client.get(URL)


async def test_a_silent_gateway_is_waited_for_as_long_as_the_request_says(tmp_path: Path) -> None:
    async with _client(tmp_path, [b"", WHOLE], read_s=0.01) as (client, gateway):
        with pytest.raises(httpx2.ReadTimeout, match=r"sent nothing for 0\.01 s"):
            await client.get(URL)
        with trio.fail_after(5):
            await gateway.left.wait()


async def test_a_refusal_in_the_middle_of_a_large_request_is_read(tmp_path: Path) -> None:
    refusal = b"HTTP/1.1 413 Too Large\r\nconnection: close\r\ncontent-length: 3\r\n\r\nbig"
    async with _client(tmp_path, [refusal]) as (client, _):
        answer = await client.post(URL, content=bytes(4 << 20))
    assert (answer.status_code, answer.text) == (413, "big")
