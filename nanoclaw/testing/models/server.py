"""A fake model as an HTTP server on loopback, with h11 on trio."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial
from socket import MSG_PEEK
from typing import cast

import h11
import trio
from attrs import define, field

from agent_runner.background import background
from nanoclaw.testing.models.answers import Answers, ConnectionCut
from nanoclaw.testing.models.model import FakeModel, ModelResponse

LOOPBACK = "127.0.0.1"
CHUNK = 65_536


@asynccontextmanager
async def open_fake_model(
    answers: Answers, *, names: Sequence[str] = ("fake-model",), port: int = 0
) -> AsyncIterator[FakeModel]:
    """Serve a fake model on loopback while the block runs.

    Args:
        answers: one answer for every request, one for each in order, or a function of the request.
        names: the names of its models.
        port: the port; 0 for a free one.

    Yields:
        the model: its `url` (without `/v1`), and its `requests` so far.
    """
    [listener] = await trio.open_tcp_listeners(port, host=LOOPBACK)
    address = listener.socket.getsockname()
    model = FakeModel(answers, f"http://{LOOPBACK}:{address[1]}", names)
    async with background(partial(trio.serve_listeners, partial(_serve, model), [listener])):
        yield model


async def _serve(model: FakeModel, stream: trio.SocketStream) -> None:
    """Answer the requests of one connection. An error of the client, or a wanted cut, closes it."""
    connection = _Connection(stream)
    async with stream:
        try:
            while (request := await connection.request()) is not None:
                await connection.answer(await model.respond(*request))
        except* (ConnectionCut, trio.BrokenResourceError, trio.ClosedResourceError, h11.ProtocolError):
            pass


@define(eq=False)
class _Connection:
    _stream: trio.SocketStream
    _http: h11.Connection = field(factory=lambda: h11.Connection(h11.SERVER), init=False)

    async def request(self) -> tuple[str, str, dict[str, str], bytes] | None:
        """Return the next request, or None if there will be none."""
        event = await self._next()
        if not isinstance(event, h11.Request):
            return None
        headers = {name.decode(): value.decode() for name, value in event.headers}
        body = b"".join([bytes(data.data) async for data in self._data()])
        return event.method.decode(), event.target.decode(), headers, body

    async def _data(self) -> AsyncIterator[h11.Data]:
        while isinstance(event := await self._next(), h11.Data):
            yield event

    async def _next(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(await self._stream.receive_some(CHUNK))
        return event

    async def answer(self, response: ModelResponse) -> None:
        """Send a response, each piece as it comes, and leave if the client does."""
        headers = list(response.headers.items())
        await self._send(h11.Response(status_code=response.status, headers=headers))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._leave_with_client)
            async with aclosing(response.body) as pieces:
                async for piece in pieces:
                    await self._send(h11.Data(data=piece))
            nursery.cancel_scope.cancel()
        await self._send(h11.EndOfMessage())
        self._http.start_next_cycle()

    async def _send(self, event: h11.Event) -> None:
        await self._stream.send_all(cast("bytes", self._http.send(event)))

    async def _leave_with_client(self) -> None:
        """Raise BrokenResourceError when the client closes the connection. It sends nothing meanwhile."""
        if not await self._stream.socket.recv(1, MSG_PEEK):
            raise trio.BrokenResourceError
