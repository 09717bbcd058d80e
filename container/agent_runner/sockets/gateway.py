"""A transport of httpx2 to the model gateway: HTTP/1.1 by h11 on a Unix socket.

The pool of httpx2 also serves names, TLS and proxies, in ten layers that each piece of an answer passes. They
take a millisecond of a turn. Here, a request is sent in one piece, and its answer passes one layer.
"""

from collections.abc import Mapping
from contextlib import suppress
from math import inf
from select import POLLIN, poll
from socket import AF_UNIX
from typing import Literal

import h11
import httpx2
import trio
from attrs import define, field

CHUNK = 65_536
MOST_IDLE = 4
"""Connections that are kept for later requests."""


@define(eq=False)
class _Connection:
    """A connection with at most one request at a time."""

    stream: trio.SocketStream
    read_s: float = inf
    """The longest silence of the gateway during the present request."""
    http: h11.Connection = field(factory=lambda: h11.Connection(h11.CLIENT), init=False)

    async def send(self, request: httpx2.Request, limit_s: float) -> None:
        """Send a request. If the gateway refuses it half-way, its answer says why. Raises WriteTimeout."""
        body = await request.aread()
        target, headers = request.url.raw_path, request.headers.raw
        events = (
            h11.Request(method=request.method, target=target, headers=headers),
            h11.Data(data=body),
            h11.EndOfMessage(),
        )
        data = b"".join(self.http.send(event) or b"" for event in events)
        try:
            with trio.fail_after(limit_s), suppress(trio.BrokenResourceError):
                await self.stream.send_all(data)
        except trio.TooSlowError as error:
            raise httpx2.WriteTimeout("the gateway does not read the request") from error

    async def head(self) -> h11.Response:
        """Return the head of the answer. Raises httpx2.TransportError."""
        while not isinstance(event := await self.event(), h11.Response):
            pass  # an interim response
        return event

    async def event(self) -> h11.Event:
        """Return the next part of the answer. Raises httpx2.TransportError."""
        try:
            while isinstance(event := self.http.next_event(), type):
                with trio.fail_after(self.read_s):
                    self.http.receive_data(bytes(await self.stream.receive_some(CHUNK)))
        except h11.RemoteProtocolError as error:
            raise httpx2.RemoteProtocolError(str(error)) from error
        except trio.TooSlowError as error:
            raise httpx2.ReadTimeout(f"the gateway sent nothing for {self.read_s:g} s") from error
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise httpx2.ReadError(str(error)) from error
        if isinstance(event, h11.ConnectionClosed):
            raise httpx2.RemoteProtocolError("the gateway closed the connection without an answer")
        return event

    def renew(self) -> bool:
        """Prepare for the next request. Return False if the gateway will close the connection."""
        ended = self.http.our_state is h11.DONE and self.http.their_state is h11.DONE
        if ended:
            self.http.start_next_cycle()
        return ended

    def is_open(self) -> bool:
        """Return True if an idle connection can be used. The gateway sends nothing unless it closes it."""
        arrived = poll()
        arrived.register(self.stream.socket.fileno(), POLLIN)
        return not arrived.poll(0) and self.http.trailing_data == (b"", False)

    def close(self) -> None:
        """Close the connection. The gateway then ends the request."""
        self.stream.socket.close()


@define(eq=False)
class GatewayTransport(httpx2.AsyncBaseTransport):
    """Sends all requests to one socket, whatever host they name."""

    _path: str
    _idle: list[_Connection] = field(factory=list, init=False)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request, and return the answer when its head is there. Raises httpx2.TransportError."""
        limits: Mapping[str, float | None] = request.extensions.get("timeout", {})
        connection = self._kept() or await self._connected(_limit(limits, "connect"))
        connection.read_s = _limit(limits, "read")
        try:
            await connection.send(request, _limit(limits, "write"))
            head = await connection.head()
        except BaseException:
            connection.close()
            raise
        return httpx2.Response(
            head.status_code, headers=head.headers.raw_items(), stream=_Body(connection, self._idle)
        )

    def _kept(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open():
                return connection
            connection.close()
        return None

    async def _connected(self, limit_s: float) -> _Connection:
        client = trio.socket.socket(AF_UNIX)
        try:
            with trio.fail_after(limit_s):
                await client.connect(self._path)
        except BaseException as error:
            client.close()
            if isinstance(error, trio.TooSlowError):
                raise httpx2.ConnectTimeout("the gateway does not answer") from error
            if isinstance(error, OSError):
                raise httpx2.ConnectError(str(error)) from error
            raise
        return _Connection(trio.SocketStream(client))

    async def aclose(self) -> None:
        """Close the idle connections."""
        await trio.lowlevel.checkpoint()
        while self._idle:
            self._idle.pop().close()


@define(eq=False)
class _Body(httpx2.AsyncByteStream):
    """The body of an answer, as it arrives. It is no generator, so none is left to the collector."""

    _connection: _Connection
    _idle: list[_Connection]
    _state: Literal["open", "ended", "closed"] = field(default="open", init=False)

    def __aiter__(self) -> "_Body":
        return self

    async def __anext__(self) -> bytes:
        if self._state == "open":
            event = await self._connection.event()
            if isinstance(event, h11.Data):
                return bytes(event.data)
            self._state = "ended"
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Keep the connection for the next request if the body was read to its end. Else close it."""
        state, self._state = self._state, "closed"
        if state == "ended" and len(self._idle) < MOST_IDLE and self._connection.renew():
            self._idle.append(self._connection)
        elif state != "closed":
            self._connection.close()


def _limit(limits: Mapping[str, float | None], name: str) -> float:
    seconds = limits.get(name)
    return inf if seconds is None else seconds
