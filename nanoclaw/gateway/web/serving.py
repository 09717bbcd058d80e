"""One connection of a sandbox to the proxy: reads one request by h11, then tunnels or forwards it.

The sandbox and the server are hostile. Whatever they send ends at most this connection.
"""

from collections.abc import Callable

import h11
import structlog
import trio
from attrs import define, field

from nanoclaw.gateway.web.forwarding import Exchange
from nanoclaw.gateway.web.proxy import WebCaller, WebProxy
from nanoclaw.gateway.web.refusals import WebRefused
from nanoclaw.gateway.web.targets import Target, target_of

MAX_HEAD = 64 << 10
"""Bytes of the head of a request, and of an answer."""
HEAD_S = 30.0
"""Longest time from the start of a connection to the end of a request's head."""
REFUSE_S = 5.0
"""Longest time for a client to take a refusal."""
CHUNK = 256 << 10
BUFFER = 512 << 10
"""Bytes of the kernel's buffer towards a sandbox. The default takes twice the processor time."""
Gone = (trio.BrokenResourceError, trio.ClosedResourceError, OSError)

_log = structlog.get_logger()


class _Left(Exception):
    """The client closed the connection before it sent a request."""


@define(eq=False)
class WebConnection:
    """Serves the one request of a connection."""

    stream: trio.abc.HalfCloseableStream
    proxy: WebProxy
    caller: WebCaller
    _http: h11.Connection = field(
        factory=lambda: h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD), init=False
    )
    _target: Target | None = field(default=None, init=False)
    _bodiless: bool = field(default=False, init=False)

    async def serve(self) -> None:
        """Serve until either side ends the connection."""
        try:
            async with self.stream:
                try:
                    with self.proxy.connections.counted():
                        await self._one()
                except* WebRefused as refusals:
                    await self._refuse(_first(refusals))
        except* (_Left, h11.ProtocolError, *Gone):
            pass

    async def _one(self) -> None:
        request = await self._head()
        target = self._target = target_of(request)
        async with self.proxy.way(self.caller, target) as way:
            if target.path is not None:
                await Exchange(self.stream, self._http, way, request, target.path).run()
                return
            await self._send(h11.Response(status_code=200, headers=[], reason=b"Connection established"))
            early, _ = self._http.trailing_data
            if early:
                way.count_sent(len(early))
                await way.stream.send_all(early)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_pump, self.stream, way.stream, way.count_sent)
                nursery.start_soon(_pump, way.stream, self.stream, way.count_received)

    async def _head(self) -> h11.Request:
        with trio.move_on_after(HEAD_S):
            try:
                while (event := self._http.next_event()) is h11.NEED_DATA:
                    self._http.receive_data(bytes(await self.stream.receive_some(MAX_HEAD)))
            except h11.RemoteProtocolError as error:
                status = error.error_status_hint
                raise WebRefused("bad", "this is not a request of HTTP/1.1", status=status) from error
            if not isinstance(event, h11.Request):
                raise _Left
            self._bodiless = event.method == b"HEAD"
            _require_one_framing(event)
            return event
        raise WebRefused("bad", f"the request took longer than {HEAD_S:.0f} s", status=408)

    async def _refuse(self, refusal: WebRefused) -> None:
        """Answer, unless an answer has begun."""
        before = self.caller.limits.log_refusal(trio.current_time())
        if before is not None:
            _log.info(
                "gateway.web_refused",
                session=self.caller.session_id,
                host=self._target and self._target.host,
                port=self._target and self._target.port,
                reason=refusal.reason,
                not_logged=before,
            )
        if self._http.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
            return
        head = h11.Response(status_code=refusal.status, headers=refusal.headers, reason=refusal.phrase)
        body = [] if self._bodiless else [h11.Data(data=refusal.body)]
        with trio.move_on_after(REFUSE_S):
            await self._send(head, *body, h11.EndOfMessage())

    async def _send(self, *events: h11.Event) -> None:
        await self.stream.send_all(b"".join(self._http.send(event) or b"" for event in events))


async def _pump(
    source: trio.abc.ReceiveStream, sink: trio.abc.HalfCloseableStream, count: Callable[[int], None]
) -> None:
    """Copy until the source ends, then end the sink. A slow sink slows the source down."""
    while data := await source.receive_some(CHUNK):
        await sink.send_all(data)
        count(len(data))
    await sink.send_eof()


def _require_one_framing(request: h11.Request) -> None:
    """Refuse a request with two lengths: another server might read another end of it. Raises WebRefused."""
    names = {name for name, _ in request.headers} & {b"content-length", b"transfer-encoding"}
    if len(names) > (request.method != b"CONNECT"):
        raise WebRefused("bad", "the request has more lengths than it may have")


def _first(group: BaseExceptionGroup[WebRefused]) -> WebRefused:
    found = group.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found
