"""The connection to a container engine: calls with a deadline in threads of their own, and streams on trio.

A call that is cancelled leaves its thread behind, which ends at the client's time-out. Such threads never
take those of the host, because they have a limiter of their own.
"""

import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager
from pathlib import Path
from typing import TypeVar

import h11
import requests
import trio
from attrs import Factory, define, field
from docker import APIClient
from docker.errors import APIError, DockerException

from nanoclaw.runtimes.docker.address import NoSocket, engine_socket
from nanoclaw.runtimes.docker.client import open_client
from nanoclaw.runtimes.docker.errors import EngineAway, EngineError, refused, silent, unreachable

T = TypeVar("T")
CALL_S = 15.0
"""Seconds for a call that does not wait for a container."""
THREAD_S = 60
"""Seconds of silence after which a thread gives up whose call was cancelled."""
THREADS = 8
"""The most calls at a time."""
CHUNK = 65_536
END = h11.EndOfMessage()
MAX_ERROR = 4_096
"""Bytes of an error's body that are read."""


@define(eq=False)
class Engine:
    """An engine at one socket, which may come, go and be replaced."""

    configured: str | None = None
    environment: Mapping[str, str] = field(factory=lambda: os.environ)
    _client: APIClient | None = None
    _limiter: trio.CapacityLimiter = Factory(lambda: trio.CapacityLimiter(THREADS))

    @property
    def socket(self) -> Path:
        """The engine's socket. Raises EngineAway if another kind of address is configured."""
        try:
            return engine_socket(self.configured, self.environment)
        except NoSocket as error:
            raise EngineAway(str(error)) from error

    async def call(self, ask: Callable[[APIClient], T], within_s: float = CALL_S, *, what: str = "") -> T:
        """Return what a blocking call of the client returns. `what` names the image, for errors.

        Raises:
            EngineError: the engine refused it, is away, or did not answer in time.
        """
        socket = self.socket

        def in_thread() -> T:
            return ask(self._connected(socket))

        try:
            with trio.fail_after(within_s):
                return await trio.to_thread.run_sync(in_thread, abandon_on_cancel=True, limiter=self._limiter)
        except trio.TooSlowError as error:
            self._client = None
            raise silent(socket, within_s) from error
        except APIError as error:
            raise refused(error.status_code or 0, str(error.explanation or error), what=what) from error
        except (requests.ConnectionError, requests.Timeout, DockerException, OSError) as error:
            self._client = None
            raise unreachable(socket, _os_error(error)) from error

    def _connected(self, socket: Path) -> APIClient:
        """Return the client. A new one asks the engine for its version. Blocking."""
        if self._client is None:
            self._client = open_client(socket, THREAD_S)
        return self._client

    @asynccontextmanager
    async def stream(self, target: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """Send a GET and yield its answer's body, piece by piece, for any time.

        Raises:
            EngineError: the engine refused it, is away, or closed the connection.
        """
        socket = self.socket
        try:
            with trio.fail_after(CALL_S):
                connection = await trio.open_unix_socket(str(socket))
        except trio.TooSlowError as error:
            raise silent(socket, CALL_S) from error
        except OSError as error:
            raise unreachable(socket, error) from error
        async with connection:
            answer = _Answer(socket, connection)
            await answer.ask(target)
            async with aclosing(answer.body()) as body:
                yield body


@define(eq=False)
class _Answer:
    """The answer to one GET on a connection of its own."""

    socket: Path
    _stream: trio.abc.Stream
    _http: h11.Connection = Factory(lambda: h11.Connection(h11.CLIENT))

    async def ask(self, target: str) -> None:
        """Send the request, and read the head of the answer. Raises EngineError."""
        head = h11.Request(method="GET", target=target, headers=[("host", "engine"), ("accept", "*/*")])
        with trio.move_on_after(CALL_S):
            with self._broken():
                await self._stream.send_all((self._http.send(head) or b"") + (self._http.send(END) or b""))
            found = await self._event()
            while isinstance(found, h11.InformationalResponse):
                found = await self._event()
            if isinstance(found, h11.Response) and found.status_code >= 400:  # noqa: PLR2004 -- HTTP: the errors
                raise refused(found.status_code, await self._error(), what=target)
            return
        raise silent(self.socket, CALL_S)

    async def body(self) -> AsyncGenerator[bytes, None]:
        """Yield the pieces of the answer. Raises EngineError if it breaks off."""
        while isinstance(event := await self._event(), h11.Data):
            yield bytes(event.data)

    async def _error(self) -> str:
        text = b""
        while len(text) < MAX_ERROR and isinstance(event := await self._event(), h11.Data):
            text += event.data
        return text.decode("utf-8", "replace")

    async def _event(self) -> object:
        with self._broken():
            while (event := self._http.next_event()) is h11.NEED_DATA:
                self._http.receive_data(bytes(await self._stream.receive_some(CHUNK)))
            return event

    @contextmanager
    def _broken(self) -> Iterator[None]:
        """Raise errors of the connection as those of the engine, before a nursery puts them into groups."""
        try:
            yield
        except (OSError, trio.BrokenResourceError, h11.ProtocolError) as error:
            raise unreachable(self.socket, _os_error(error)) from error


def _os_error(error: BaseException) -> OSError | None:
    """Return the error of the operating system below an error of the client."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and not isinstance(seen, requests.RequestException) and seen.errno:
            return seen
        inner = next((each for each in seen.args if isinstance(each, BaseException)), None)
        seen = inner or seen.__cause__ or seen.__context__
    return None


__all__ = ["Engine", "EngineError"]
