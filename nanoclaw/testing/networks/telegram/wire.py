"""HTTP of the fake Telegram: an h11 server on loopback that can vanish and come back on its port."""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from io import BytesIO
from socket import MSG_PEEK, SHUT_RDWR, SO_REUSEADDR, SOL_SOCKET, socket
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

import h11
import trio
from attrs import Factory, define, field, frozen

LOOPBACK = "127.0.0.1"
CHUNK = 65_536


@frozen
class Upload:
    """A file of a request."""

    name: str
    data: bytes = field(repr=False)


@frozen
class Request:
    """A request of a bot, with its fields wherever they were: in the address, a form, or JSON."""

    method: str
    path: str
    fields: Mapping[str, Any]
    files: Mapping[str, Upload] = Factory(dict)


@frozen
class Response:
    """The answer to a request."""

    status: int
    body: bytes = field(repr=False)
    content_type: str = "application/json"


Handler = Callable[[Request], Awaitable[Response | None]]
"""Answers a request. None: the connection is closed without an answer."""


def read_request(method: str, target: str, headers: Mapping[str, str], body: bytes) -> Request:
    """Read the fields and files of a request."""
    parts = urlsplit(target)
    fields: dict[str, Any] = dict(parse_qsl(parts.query, keep_blank_values=True))
    files = dict[str, Upload]()
    kind = headers.get("content-type", "")
    if kind.startswith("application/json") and body:
        fields |= json.loads(body)
    elif kind.startswith("application/x-www-form-urlencoded"):
        fields |= dict(parse_qsl(body.decode(), keep_blank_values=True))
    elif kind.startswith("multipart/form-data"):
        _read_multipart(headers, body, fields, files)
    return Request(method, parts.path, fields, files)


def _read_multipart(
    headers: Mapping[str, str], body: bytes, fields: dict[str, Any], files: dict[str, Upload]
) -> None:
    from python_multipart import parse_form  # noqa: PLC0415 -- only tests with files need it

    def on_field(found: Any) -> None:
        fields[found.field_name.decode()] = (found.value or b"").decode()

    def on_file(found: Any) -> None:
        found.file_object.seek(0)
        files[found.field_name.decode()] = Upload(found.file_name.decode(), found.file_object.read())

    wanted = {"Content-Type": headers["content-type"].encode(), "Content-Length": str(len(body)).encode()}
    parse_form(cast("Any", wanted), BytesIO(body), on_field, on_file)


@define(eq=False)
class HttpServer:
    """The server. It listens while it is up."""

    handler: Handler
    nursery: trio.Nursery
    port: int = 0
    discards: bool = False
    """True if only the beginning and the end of a long body is kept, which shortens the files in it."""
    _serving: trio.CancelScope = Factory(trio.CancelScope)
    _sockets: set[trio.socket.SocketType] = Factory(set)

    @property
    def url(self) -> str:
        """Return its address."""
        return f"http://{LOOPBACK}:{self.port}"

    def start(self) -> None:
        """Listen, on the same port as before."""
        listening = socket()
        listening.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        listening.bind((LOOPBACK, self.port))
        listening.listen(128)
        listening.setblocking(False)  # noqa: FBT003 -- it takes no keyword
        self.port = listening.getsockname()[1]
        self._serving = trio.CancelScope()
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(listening))
        self.nursery.start_soon(self._listen, self._serving, listener)

    def stop(self) -> None:
        """Close the port and all connections, without an answer to what is under way."""
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(SHUT_RDWR)
        self._serving.cancel()

    @contextmanager
    def gone(self) -> Iterator[None]:
        """Be unreachable while the block runs."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    async def _listen(self, scope: trio.CancelScope, listener: trio.SocketListener) -> None:
        with scope, self._kept(listener.socket):
            try:
                await trio.serve_listeners(self._serve, [listener])
            except* OSError:  # the port was shut
                pass

    @contextmanager
    def _kept(self, found: trio.socket.SocketType) -> Iterator[None]:
        """Have a socket shut down at once when the server stops."""
        self._sockets.add(found)
        try:
            yield
        finally:
            self._sockets.discard(found)

    async def _serve(self, stream: trio.SocketStream) -> None:
        async with stream:
            try:
                with self._kept(stream.socket):
                    await _Connection(stream, self).answer_all(self.handler)
            except* (trio.BrokenResourceError, trio.ClosedResourceError, h11.ProtocolError):
                pass


@define(eq=False)
class _Connection:
    _stream: trio.SocketStream
    _server: HttpServer
    _http: h11.Connection = field(factory=lambda: h11.Connection(h11.SERVER), init=False)

    async def answer_all(self, handler: Handler) -> None:
        while (request := await self._request()) is not None:
            response = await self._answer(handler, request)
            if response is None:
                return
            await self._respond(response)
            if self._http.our_state is not h11.DONE:
                return
            self._http.start_next_cycle()

    async def _request(self) -> Request | None:
        event = await self._next()
        if not isinstance(event, h11.Request):
            return None
        headers = {name.decode().lower(): value.decode() for name, value in event.headers}
        body = await self._body()
        return read_request(event.method.decode(), event.target.decode(), headers, body)

    async def _body(self) -> bytes:
        begin, end = bytearray(), bytearray()
        while isinstance(data := await self._next(), h11.Data):
            part = end if self._server.discards and len(begin) > 2 * CHUNK else begin
            part += data.data
            if len(end) > 4 * CHUNK:
                del end[: -2 * CHUNK]
        return bytes(begin + end)

    async def _next(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            if self._http.they_are_waiting_for_100_continue:
                await self._send(h11.InformationalResponse(status_code=100, headers=[]))
            self._http.receive_data(await self._stream.receive_some(CHUNK))
        return event

    async def _answer(self, handler: Handler, request: Request) -> Response | None:
        """Ask the handler, until the client leaves."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._leave_with_client)
            response = await handler(request)
            nursery.cancel_scope.cancel()
        return response

    async def _leave_with_client(self) -> None:
        if not await self._stream.socket.recv(1, MSG_PEEK):
            raise trio.BrokenResourceError

    async def _respond(self, response: Response) -> None:
        headers = [("content-type", response.content_type), ("content-length", str(len(response.body)))]
        await self._send(h11.Response(status_code=response.status, headers=headers))
        await self._send(h11.Data(data=response.body))
        await self._send(h11.EndOfMessage())

    async def _send(self, event: h11.Event) -> None:
        await self._stream.send_all(cast("bytes", self._http.send(event)))


@asynccontextmanager
async def open_http_server(handler: Handler) -> AsyncGenerator[HttpServer]:
    """Serve on loopback while the block runs. An error of the block is raised unchanged."""
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        server = HttpServer(handler, nursery)
        server.start()
        try:
            yield server
        except Exception as error:  # noqa: BLE001 -- raised again below, outside of the nursery
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
