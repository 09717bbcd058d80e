"""The outermost part of the application: checks that every request passes, and headers of every answer."""

import re
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any

import structlog
import trio
from attrs import Factory, define, field
from starlette.requests import ClientDisconnect

from nanoclaw.channels.http.errors import ApiError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MOST_REQUESTS = 256
"""Limit of requests that are handled at a time, those that wait for answers included."""
BODY_WITHIN_S = 30.0
"""Seconds within which a body must come, besides a second for each `SLOWEST` bytes of it."""
SLOWEST = 16 << 10
"""Bytes a second of the slowest upload that is read."""
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
READING = ("GET", "HEAD", "OPTIONS")
HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"x-frame-options": b"DENY",
    b"cross-origin-resource-policy": b"same-origin",
    b"cache-control": b"no-store",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
}
"""Headers of every answer that does not have its own."""
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^\[\]:@/\s]+)(?::\d{1,5})?", re.IGNORECASE)

_log = structlog.get_logger()


@define(eq=False)
class Guard:
    """An ASGI application that checks a request and passes it on.

    - The `Host` must be a known one, and a foreign `Origin` changes nothing: else a page of any site could
      reach a server on loopback by a name of its own (DNS rebinding).
    - A body is bounded in size and time. Requests are bounded in number.
    - An error of the application becomes an answer without details, and is logged.
    """

    app: App
    hosts: Collection[str]
    """The host names of this server, in lower case; IPv6 addresses in brackets."""
    largest: int
    """Limit of a body in bytes."""
    _open: int = field(default=0, init=False)
    _warned: set[str] = field(init=False, default=Factory(set))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await _refuse_other(scope, receive, send)
            return
        body = _Body(receive, self.largest)
        answer = _Answer(send, body)
        refusal = self._refusal(scope)
        if refusal is not None:
            await answer.refuse(refusal)
            return
        self._open += 1
        try:
            await self._pass_on(scope, body.receive, answer)
        finally:
            self._open -= 1

    async def _pass_on(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        try:
            await self.app(scope, receive, answer.send)
        except ApiError as error:
            await answer.refuse(error)
        except ClientDisconnect:
            pass  # there is nobody to answer
        except Exception as error:  # noqa: BLE001 -- one request must not end the server
            _log.error("http.request_failed", path=scope["path"][:200], reason=repr(error), exc_info=error)
            await answer.refuse(ApiError(500, "the server failed; its log says why", code="internal_error"))

    def _refusal(self, scope: Scope) -> ApiError | None:
        headers = dict(scope["headers"])
        asked = headers.get(b"host", b"").decode("latin-1")
        host = _host(asked)
        if host not in self.hosts:
            shown = f"{host or 'none'!s:.100}"
            self._warn(shown)
            return ApiError(
                421, f"the host {shown} is not this server's: add it to `hosts` of the channel", param="Host"
            )
        origin = headers.get(b"origin", b"").decode("latin-1")
        if origin and scope["method"] not in READING and not self._is_own(origin, asked):
            return ApiError(403, "a page of another site may not use this server", param="Origin")
        if _length(headers) > self.largest:
            return ApiError(413, f"the body must have at most {self.largest:,} bytes", code="too_large")
        if self._open >= MOST_REQUESTS:
            return ApiError(503, "too many requests are open; try again", retry_after_s=1)
        return None

    def _is_own(self, origin: str, asked: str) -> bool:
        """Return True for a page of this server: another port of the same host is another program's.

        A proxy may ask by another name than browsers do. Then the page's is one of `hosts` as it is.
        """
        scheme, _, place = origin.partition("://")
        default = {"http": "80", "https": "443"}.get(scheme)
        if _host(place) == _host(asked):
            return (_port(place) or default) == (_port(asked) or default)
        return place.lower() in self.hosts and place.lower() not in LOOPBACK

    def _warn(self, host: str) -> None:
        if host not in self._warned and len(self._warned) < 100:  # noqa: PLR2004 -- enough for a log
            self._warned.add(host)
            _log.warning("http.unknown_host", host=host)


def hosts_of(listen: str, more: Collection[str]) -> frozenset[str]:
    """Return the host names of a server that listens on a host, and has further names."""
    named = f"[{listen}]" if ":" in listen else listen
    return frozenset(name.lower() for name in (*LOOPBACK, named, *more))


def _host(value: str) -> str:
    """Return the host name of a `Host` header in lower case; empty if it is none."""
    match = _HOST.fullmatch(value.strip())
    return match[1].lower() if match else ""


def _port(value: str) -> str:
    """Return the port of a `Host` header; empty if it names none."""
    name, colon, port = value.strip().rpartition(":")
    return port if colon and name and port.isdigit() else ""


def _length(headers: dict[bytes, bytes]) -> int:
    text = headers.get(b"content-length", b"0")
    return int(text) if text.isdigit() and len(text) < 20 else 0  # noqa: PLR2004 -- h11 refuses others


@define(eq=False)
class _Body:
    """Bounds the size of a body, and the time until it has come."""

    inner: Receive
    largest: int
    _size: int = 0
    _begun_at: float = Factory(trio.current_time)
    _complete: bool = False

    async def receive(self) -> Message:
        if self._complete:
            return await self.inner()  # it waits for the end of the connection
        within = BODY_WITHIN_S + self._size / SLOWEST
        message: Message | None = None
        with trio.move_on_at(self._begun_at + within):
            message = await self.inner()
        if message is None:
            raise ApiError(408, "the body did not come in time; send it again", code="slow")
        if message["type"] == "http.request":
            self._size += len(message.get("body", b""))
            self._complete = not message.get("more_body", False)
            if self._size > self.largest:
                raise ApiError(413, f"the body must have at most {self.largest:,} bytes", code="too_large")
        return message

    async def discard(self) -> None:
        """Discard what comes, until cancelled or the end of the connection."""
        while (await self.inner())["type"] != "http.disconnect":
            pass


@define(eq=False)
class _Answer:
    """Adds headers to the answer, and knows whether it has begun."""

    inner: Send
    body: _Body
    _begun: bool = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._begun = True
            present = {name.lower() for name, _ in message.get("headers", ())}
            more = [(name, value) for name, value in HEADERS.items() if name not in present]
            message = {**message, "headers": [*message.get("headers", ()), *more]}
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            await self._end(message)
        else:
            await self.inner(message)

    async def _end(self, message: Message) -> None:
        """Send the last part, and discard a body that nobody has read: hypercorn waits until it is taken."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.body.discard)
            await self.inner(message)
            nursery.cancel_scope.cancel()

    async def refuse(self, error: ApiError) -> None:
        """Answer with an error. An answer that has begun is cut off, unless it is complete."""
        if self._begun:
            return
        response = error.response
        start = {"type": "http.response.start", "status": error.status, "headers": response.raw_headers}
        await self.send(start)
        await self.send({"type": "http.response.body", "body": response.body})


async def _refuse_other(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})
    # a lifespan is not ours to refuse: nobody starts one
