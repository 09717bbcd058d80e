"""The server: hypercorn's trio worker on listeners of ours, with limits that it does not have."""

import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import structlog
import trio
from attrs import Factory, define
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from hypercorn.utils import wrap_app

from nanoclaw.channels.http.signal import Signal
from nanoclaw.channels.protocol import ChannelUnavailable

HEADERS_WITHIN_S = 15.0
"""Seconds within which the headers of a request must come, and a connection may be idle."""
SENT_WITHIN_S = 30.0
"""Seconds within which a client must take each part of an answer."""
STOP_WITHIN_S = 1.0
"""Seconds that requests have to end when the server stops."""
LARGEST_HEADERS = 32 << 10

_log = structlog.get_logger()


@define(eq=False)
class _PatientStream:
    """A stream whose client must read. hypercorn shields its sends, so that a stop cannot cancel them."""

    inner: trio.SocketStream

    @property
    def socket(self) -> Any:
        return self.inner.socket

    async def send_all(self, data: bytes) -> None:
        with trio.move_on_after(SENT_WITHIN_S) as scope:
            await self.inner.send_all(data)
        if scope.cancelled_caught:
            self.close()
            raise trio.BrokenResourceError

    async def receive_some(self, most: int) -> bytes:
        return bytes(await self.inner.receive_some(most))

    async def send_eof(self) -> None:
        await self.inner.send_eof()

    async def aclose(self) -> None:
        await self.inner.aclose()

    def close(self) -> None:
        """Close the socket at once. A task that sends or receives gets an error."""
        self.inner.socket.close()


@define(eq=False)
class Connections:
    """The open connections of one server."""

    app: Any
    most: int
    closing: trio.Event
    """Set when the server stops: answers that wait end then."""
    _context: WorkerContext = Factory(lambda: WorkerContext(None))
    _streams: set[_PatientStream] = Factory(set)
    _ended: Signal = Factory(Signal)

    async def serve(self, stream: trio.SocketStream) -> None:
        """Serve one connection until it ends."""
        if len(self._streams) >= self.most:
            await _turn_away(stream)
            return
        patient = _PatientStream(stream)
        self._streams.add(patient)
        try:
            await TCPServer(self.app, _config(), self._context, ConnectionState({}), patient)  # type: ignore[arg-type]  # it asks for what a stream has
        except* (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            pass  # the client is gone
        except* Exception as errors:  # noqa: BLE001 -- one connection must not end the server
            _log.error("http.connection_failed", reason=repr(errors.exceptions[0]), exc_info=errors)
        finally:
            self._streams.discard(patient)
            self._ended.tell()
            patient.close()

    async def stop(self) -> None:
        """End all connections, within `STOP_WITHIN_S`."""
        self.closing.set()
        await self._context.terminated.set()
        with trio.move_on_after(STOP_WITHIN_S):
            while self._streams:
                await self._ended.event.wait()
        for stream in tuple(self._streams):
            stream.close()


async def _turn_away(stream: trio.SocketStream) -> None:
    """Tell a client that there are too many connections."""
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError, OSError), trio.move_on_after(1):
        await stream.send_all(
            b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n"
            b"Connection: close\r\n\r\n"
        )
        await stream.send_eof()
        while await stream.receive_some():
            pass  # a socket that closes with unread data resets the connection, and the answer is lost
    stream.socket.close()


def _config() -> Config:
    config = Config()
    config.errorlog = None
    config.accesslog = None
    config.keep_alive_timeout = HEADERS_WITHIN_S
    config.h11_max_incomplete_size = LARGEST_HEADERS
    config.h2_max_concurrent_streams = 16
    config.include_server_header = False
    return config


@asynccontextmanager
async def serving(app: Any, host: str, port: int, *, most: int, closing: trio.Event) -> AsyncIterator[int]:
    """Serve an ASGI application while the context is open. Yield the port; 0 asks for a free one.

    Raises:
        ChannelUnavailable: the address cannot be used. The text names it.
    """
    listeners = await _listen(host, port)
    connections = Connections(wrap_app(app, 1 << 16, "asgi"), most, closing)
    accepting = trio.CancelScope()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_accept, connections, listeners, accepting, nursery)
        try:
            yield int(listeners[0].socket.getsockname()[1])
        finally:
            accepting.cancel()
            with trio.CancelScope(shield=True):
                for listener in listeners:
                    listener.socket.close()
                await connections.stop()
            nursery.cancel_scope.cancel()


async def _accept(
    connections: Connections,
    listeners: list[trio.SocketListener],
    accepting: trio.CancelScope,
    nursery: trio.Nursery,
) -> None:
    with accepting:
        await trio.serve_listeners(connections.serve, listeners, handler_nursery=nursery)


async def _listen(host: str, port: int) -> list[trio.SocketListener]:
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        return await trio.open_tcp_listeners(port, host=host)
    except OSError as error:
        why = "another program uses it" if error.errno == errno.EADDRINUSE else str(error)
        advice = "end that program, or set another `listen`"
        raise ChannelUnavailable(f"cannot listen on {place}: {why}; {advice}") from error
