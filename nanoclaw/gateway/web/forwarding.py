"""One plain HTTP request through the proxy: head and body to the server, its answer back, both as they come.

Both sides are parsed and written anew by h11, so a server sees exactly one request, whatever the client sent.
"""

from collections.abc import Iterable
from contextlib import suppress

import h11
import trio
from attrs import define, field

from nanoclaw.gateway.web.proxy import Way
from nanoclaw.gateway.web.refusals import WebRefused

MAX_HEAD = 64 << 10
CHUNK = 256 << 10
_HOP = frozenset(
    {b"connection", b"keep-alive", b"te", b"trailer", b"upgrade", b"expect", b"http2-settings"}
    | {b"proxy-connection", b"proxy-authorization", b"proxy-authenticate"}
)
"""Headers that concern one connection only. Those of framing are kept."""
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})
Gone = (trio.BrokenResourceError, trio.ClosedResourceError, OSError)

Headers = list[tuple[bytes, bytes]]


@define(eq=False)
class Exchange:
    """A request of a client, and the answer of a server."""

    client: trio.abc.HalfCloseableStream
    asked: h11.Connection
    """The client's side of HTTP; its request was read."""
    way: Way
    request: h11.Request
    path: str
    _server: h11.Connection = field(
        factory=lambda: h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD), init=False
    )

    async def run(self) -> None:
        """Pass the request and the answer on. Raises WebRefused if the server gives none."""
        try:
            await self._to_server(
                h11.Request(method=self.request.method, target=self.path, headers=self._request_headers())
            )
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._send_body)
                await self._answer()
                nursery.cancel_scope.cancel()
        except* (h11.RemoteProtocolError, *Gone) as errors:
            if self.asked.our_state is not h11.SEND_RESPONSE:
                raise
            where = self.way.target.authority
            raise WebRefused("unreachable", f"{where} gave no valid answer") from errors

    # -- the request

    def _request_headers(self) -> Headers:
        host = self.way.target.host_header.encode("ascii")
        return [(b"Host", host), *_kept(self.request.headers, {b"host"}), (b"Connection", b"close")]

    async def _send_body(self) -> None:
        """Send the request's body. A server may answer, and close, before it has all of it."""
        while True:
            event = await self._from_client()
            with suppress(*Gone):  # the answer, or the lack of one, tells
                await self._to_server(event)
            if isinstance(event, h11.EndOfMessage):
                return

    async def _from_client(self) -> h11.Data | h11.EndOfMessage:
        try:
            while (event := self.asked.next_event()) is h11.NEED_DATA:
                if self.asked.they_are_waiting_for_100_continue:
                    await self._to_client(h11.InformationalResponse(status_code=100, headers=[]))
                self.asked.receive_data(bytes(await self.client.receive_some(CHUNK)))
        except h11.RemoteProtocolError as error:
            raise WebRefused("bad", "the body of the request is not valid") from error
        if isinstance(event, h11.Data):
            return event
        assert isinstance(event, h11.EndOfMessage)  # noqa: S101 -- h11 raises if the client leaves before
        return h11.EndOfMessage()  # without trailers

    async def _to_server(self, event: h11.Event) -> None:
        if data := self._server.send(event):
            await self.way.stream.send_all(data)
            self.way.count_sent(len(data))

    # -- the answer

    async def _answer(self) -> None:
        while not isinstance(event := await self._from_server(), h11.EndOfMessage):
            match event:
                case h11.Response():
                    await self._to_client(_answered(event))
                case h11.Data():
                    await self._to_client(event)
                case h11.InformationalResponse():
                    pass
                case _:
                    raise h11.RemoteProtocolError("it closed the connection")
        await self._to_client(h11.EndOfMessage())

    async def _from_server(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        while (event := self._server.next_event()) is h11.NEED_DATA:
            data = bytes(await self.way.stream.receive_some(CHUNK))
            self.way.count_received(len(data))
            self._server.receive_data(data)
        return event

    async def _to_client(self, event: h11.Event) -> None:
        if data := self.asked.send(event):
            await self.client.send_all(data)


def _answered(response: h11.Response) -> h11.Response:
    """Return the head of an answer as the client gets it."""
    without = {b"content-length"} if b"transfer-encoding" in dict(response.headers) else set[bytes]()
    headers = [*_kept(response.headers, without), (b"Connection", b"close")]
    return h11.Response(status_code=response.status_code, headers=headers, reason=response.reason)


def _kept(headers: Iterable[tuple[bytes, bytes]], without: set[bytes]) -> Headers:
    """Return headers without those of the connection, and those that Connection names."""
    named = {
        token.strip().lower()
        for name, value in headers
        if name == b"connection"
        for token in value.split(b",")
    } - _FRAMING
    dropped = _HOP | named | without
    return [(name, value) for name, value in headers if name not in dropped]
