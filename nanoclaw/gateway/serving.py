"""HTTP on one connection of a runner, by h11: requests are read whole, answers are streamed.

The runner is hostile. Whatever it sends ends at most its own connection.
"""

import h11
import trio
from attrs import define, field

from nanoclaw.gateway.limits import MAX_BODY, Room
from nanoclaw.gateway.proxy import Answer, AnswerCut, Caller, Proxy, Request
from nanoclaw.gateway.refusals import Refused

MAX_HEAD = 64 << 10
"""Bytes of a request's head."""
READ_S = 60.0
"""The longest time that a runner may take to send a request it has begun."""
CHUNK = 65_536
RECORD_AFTER_S = 0.03
"""Seconds before the usage of a request is written, unless the runner sends another one meanwhile.

The turn that got the answer ends with three commits. A commit beside them would delay its reply by one or two
milliseconds.
"""
MOST_SMALL_PIECES = 100
SMALL_PIECE = 256
"""Bytes. Each piece of a body costs the host time, so a body of many small ones is refused."""

Gone = (trio.BrokenResourceError, trio.ClosedResourceError, OSError)


class _Ended(Exception):
    """The runner closed the connection."""


@define(eq=False)
class Connection:
    """Serves the requests of one connection, one after the other."""

    stream: trio.abc.Stream
    proxy: Proxy
    caller: Caller
    room: Room
    """The room for the bodies of this runner's requests."""
    _held: int = field(default=0, init=False)
    _heard: trio.Event = field(factory=trio.Event, init=False)
    """Set when the runner sends something during a request, or leaves."""
    _http: h11.Connection = field(
        factory=lambda: h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD), init=False
    )

    async def serve(self) -> None:
        """Serve until the runner closes the connection, or breaks the protocol."""
        try:
            async with self.stream:
                while await self._one():
                    self._give_back()
                    self._http.start_next_cycle()
        except* (_Ended, AnswerCut, *Gone):
            pass
        finally:
            self._give_back()

    async def _one(self) -> bool:
        """Serve a request. Return True if the connection may be used again."""
        try:
            request = await self._request()
        except h11.RemoteProtocolError as error:
            await self._refuse(Refused("forbidden", "this is not HTTP/1.1"), error.error_status_hint)
            return False
        except Refused as refused:
            await self._refuse(refused, refused.status)
            return False
        self._heard = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._cancel_when_gone, nursery.cancel_scope)
            async with self.proxy.handle(self.caller, request, self._pause) as answer:
                await self._send(answer, bodiless=request.method == "HEAD")
            nursery.cancel_scope.cancel()
        return self._http.our_state is h11.DONE and self._http.their_state is h11.DONE

    # -- reading

    async def _request(self) -> Request:
        head = await self._first_event()
        if not isinstance(head, h11.Request):
            raise _Ended
        with trio.move_on_after(READ_S):
            body = await self._body()
            headers = [(name.decode("ascii"), value.decode("latin-1")) for name, value in head.headers]
            return Request(head.method.decode("ascii"), head.target.decode("latin-1"), headers, body)
        raise _Ended

    async def _first_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Wait for a request for any time, and for the rest of its head for `READ_S`."""
        event = self._http.next_event()
        if event is h11.NEED_DATA:
            await self._receive()
        with trio.move_on_after(READ_S):
            return await self._event() if event is h11.NEED_DATA else event
        raise _Ended

    async def _event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            if self._http.they_are_waiting_for_100_continue:
                await self._write(h11.InformationalResponse(status_code=100, headers=[]))
            await self._receive()
        return event

    async def _receive(self) -> None:
        self._http.receive_data(bytes(await self.stream.receive_some(CHUNK)))

    async def _body(self) -> bytes:
        """Read the body of a request. Raises Refused if it is too large, or in too small pieces."""
        body, pieces = bytearray(), 0
        while isinstance(event := await self._event(), h11.Data):
            pieces += 1
            if pieces > MOST_SMALL_PIECES + len(body) // SMALL_PIECE:
                raise Refused("forbidden", f"the body of a request comes in pieces below {SMALL_PIECE} bytes")
            if len(body) + len(event.data) > MAX_BODY:
                raise Refused("too_large", f"a request may have {MAX_BODY >> 20} MiB")
            self.room.take(len(event.data))
            self._held += len(event.data)
            body += event.data
        if not isinstance(event, h11.EndOfMessage):
            raise _Ended
        return bytes(body)

    def _give_back(self) -> None:
        """Give back the room of the last request's body."""
        held, self._held = self._held, 0
        self.room.give(held)

    async def _cancel_when_gone(self, scope: trio.CancelScope) -> None:
        """Cancel the request when the runner closes the connection. The next request may come early."""
        try:
            data = bytes(await self.stream.receive_some(CHUNK))
        except Gone:
            data = b""
        if not data:
            scope.cancel()
        self._heard.set()
        self._http.receive_data(data)

    async def _pause(self) -> None:
        """Let the turn end before the usage of its last request is written."""
        with trio.move_on_after(RECORD_AFTER_S):
            await self._heard.wait()

    # -- writing

    async def _send(self, answer: Answer, *, bodiless: bool) -> None:
        await self._write(h11.Response(status_code=answer.status, headers=_framed(answer)))
        if not bodiless:
            async for chunk in answer.body:
                await self._write(h11.Data(data=chunk))
        await self._write(h11.EndOfMessage())

    async def _refuse(self, refused: Refused, status: int) -> None:
        """Answer a request that cannot be read, and close the connection."""
        if self._http.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            headers = [*refused.headers, ("connection", "close")]
            await self._write(h11.Response(status_code=status, headers=headers))
            await self._write(h11.Data(data=refused.body))
            await self._write(h11.EndOfMessage())

    async def _write(self, event: h11.Event) -> None:
        data = self._http.send(event)
        if data:
            await self.stream.send_all(data)


def _framed(answer: Answer) -> list[tuple[str, str]]:
    """Return the headers of an answer. h11 adds `transfer-encoding: chunked` where there is no length."""
    return [(name, value) for name, value in answer.headers if _fits(name, value)]


def _fits(name: str, value: str) -> bool:
    return name.isascii() and value.isascii() and value.isprintable()
