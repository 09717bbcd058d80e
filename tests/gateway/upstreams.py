"""A model's server on loopback for tests: it answers as a function says, and keeps what it was asked."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress

import h11
import trio
from attrs import Factory, define, frozen

Headers = Sequence[tuple[str, str]]


@frozen
class Asked:
    """A request that the server got."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@define(eq=False)
class Reply:
    """The way to answer one request, step by step."""

    stream: trio.SocketStream
    http: h11.Connection

    async def start(
        self, status: int = 200, headers: Headers = (("content-type", "application/json"),)
    ) -> None:
        await self._send(h11.Response(status_code=status, headers=list(headers)))

    async def send(self, data: bytes) -> None:
        await self._send(h11.Data(data=data))

    async def end(self) -> None:
        await self._send(h11.EndOfMessage())

    async def whole(self, body: bytes, status: int = 200, headers: Headers = ()) -> None:
        await self.start(
            status, [("content-type", "application/json"), ("content-length", str(len(body))), *headers]
        )
        await self.send(body)
        await self.end()

    async def gone(self) -> None:
        """Wait until the client has closed the connection."""
        with suppress(trio.BrokenResourceError):
            while await self.stream.receive_some(65536):
                pass

    async def cut(self) -> None:
        """Close the connection in the middle of the answer."""
        await trio.aclose_forcefully(self.stream)

    async def _send(self, event: h11.Event) -> None:
        await self.stream.send_all(self.http.send(event) or b"")


Answerer = Callable[[Asked, Reply], Awaitable[None]]


@define(eq=False)
class Upstream:
    """The server."""

    port: int
    answer: Answerer
    asked: list[Asked] = Factory(list)
    connections: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def _serve(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError):
            async with stream:
                http = h11.Connection(h11.SERVER)
                while (asked := await _request(stream, http)) is not None:
                    self.asked.append(asked)
                    await self.answer(asked, Reply(stream, http))
                    if http.our_state is not h11.DONE:
                        return
                    http.start_next_cycle()


async def _request(stream: trio.SocketStream, http: h11.Connection) -> Asked | None:
    head: h11.Request | None = None
    body = b""
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(bytes(await stream.receive_some(65536)))
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            headers = {name.decode(): value.decode() for name, value in head.headers}
            return Asked(head.method.decode(), head.target.decode(), headers, body)
        else:
            return None


@asynccontextmanager
async def open_upstream(answer: Answerer) -> AsyncIterator[Upstream]:
    """Serve on a free port of loopback."""
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    upstream = Upstream(listener.socket.getsockname()[1], answer)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, upstream._serve, [listener])
        yield upstream
        nursery.cancel_scope.cancel()
