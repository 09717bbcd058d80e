"""The servers of models: the seam `Seams.models`, and its real form, a pool of HTTP connections."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

import trio
from attrs import define, field, frozen

if TYPE_CHECKING:
    import httpx2

CONNECT_S = 15.0
"""The longest time to connect to a server."""
CLOSE_S = 1.0
"""The longest time to end a request."""
MAX_STALE = 3
"""Connections that the server had closed while they were idle, before a request fails."""


@frozen
class UpstreamRequest:
    """A request to a model's server, with its key."""

    method: str
    url: str
    headers: Sequence[tuple[str, str]] = field(repr=False)
    body: bytes = field(default=b"", repr=False)


@frozen
class UpstreamAnswer:
    """The beginning of an answer, and its body as it arrives."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: AsyncIterator[bytes]
    """Raises `UpstreamFailed` where the answer is cut."""


class UpstreamFailed(Exception):
    """A server cannot be reached, or its answer was cut. The text says why, without the key."""


class ModelServers(Protocol):
    """Asks the servers of models. A simulation puts scripted models here."""

    def ask(self, request: UpstreamRequest, /) -> AbstractAsyncContextManager[UpstreamAnswer]:
        """Send a request, and yield the answer when its headers are there. The exit ends the request.

        The entry and each read may be cancelled, and are if the server is silent for too long. So no scope
        of trio may stay open between them.

        Raises:
            UpstreamFailed: there is no answer.
        """
        ...


@define(eq=False)
class HttpServers:
    """Asks over HTTP. The client is made when the first runner with a model starts: it takes 0.3 s."""

    _client: "httpx2.AsyncClient | None" = field(default=None, init=False)
    _making: trio.Lock = field(factory=trio.Lock, init=False)

    @asynccontextmanager
    async def ask(self, request: UpstreamRequest) -> AsyncGenerator[UpstreamAnswer]:
        """Send a request over a pooled connection. It follows no redirect and keeps no cookie."""
        client = await self.ready()
        library = import_module("httpx2")
        response = await _sent(library, client, request)
        headers = [(name.lower(), value) for name, value in response.headers.multi_items()]
        body = _body(library, response)
        try:
            yield UpstreamAnswer(response.status_code, headers, body)
        finally:
            await _finished(body)
            with trio.move_on_after(CLOSE_S, shield=True):
                await response.aclose()

    async def ready(self) -> "httpx2.AsyncClient":
        """Return the client. It is made in a thread, as the certificates of the system are read."""
        async with self._making:
            if self._client is None:
                self._client = await trio.to_thread.run_sync(_client)
            return self._client

    async def aclose(self) -> None:
        """Close all connections."""
        if self._client is not None:
            client, self._client = self._client, None
            await client.aclose()


def _client() -> "httpx2.AsyncClient":
    from http.cookiejar import DefaultCookiePolicy  # noqa: PLC0415 -- takes 1 MiB, and only models need it

    library = import_module("httpx2")
    made: Any = library.AsyncClient(
        follow_redirects=False,
        timeout=library.Timeout(None, connect=CONNECT_S),  # the proxy bounds the silence of a server
        limits=library.Limits(max_connections=None, max_keepalive_connections=20, keepalive_expiry=30.0),
    )
    made.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))  # sessions share it
    return cast("httpx2.AsyncClient", made)


async def _sent(library: Any, client: "httpx2.AsyncClient", request: UpstreamRequest) -> "httpx2.Response":
    """Send a request. Repeat it where a connection of the pool turned out to be closed."""
    for _ in range(MAX_STALE):
        connected = False

        async def trace(event: str, _info: object) -> None:
            nonlocal connected
            connected = connected or event.startswith("connection.connect")

        try:
            made = library.Request(
                request.method,
                request.url,
                headers=list(request.headers),
                content=request.body,
                extensions={"timeout": client.timeout.as_dict(), "trace": trace},
            )
            return await client.send(made, stream=True)
        except (library.RemoteProtocolError, library.ReadError, library.WriteError) as error:
            if connected:
                raise UpstreamFailed(_why(error)) from error
        except (library.TransportError, library.InvalidURL, ValueError, OSError) as error:
            raise UpstreamFailed(_why(error)) from error
    raise UpstreamFailed("it closes each connection at once")


async def _body(library: Any, response: "httpx2.Response") -> AsyncIterator[bytes]:
    try:
        async for chunk in response.aiter_bytes():
            yield chunk
    except (library.TransportError, library.DecodingError, library.StreamError, OSError) as error:
        raise UpstreamFailed(_why(error)) from error


async def _finished(body: AsyncIterator[bytes]) -> None:
    """Let a body that was not read to its end fail at its next wait.

    Its generators are nested in httpx2, and `aclose` would leave the inner ones to the garbage collector.
    """
    with trio.CancelScope() as scope, suppress(UpstreamFailed):
        scope.cancel()
        async for _ in body:
            pass


def _why(error: Exception) -> str:
    """Return the reason. The texts of these errors have addresses and causes, but no headers."""
    name = type(error).__name__
    text = str(error)[:200]
    return f"{text} ({name})" if text else name
