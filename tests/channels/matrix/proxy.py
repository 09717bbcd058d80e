"""A network between a client and a server that can be cut, and that can swallow answers."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial

import trio
from attrs import define, field

HELD_S = 1.5
"""Seconds of silence before a connection breaks whose answer is swallowed: time to cancel a delivery."""


@define(eq=False)
class Proxy:
    """Forwards connections to a port of this machine."""

    target: int
    port: int = 0
    is_down: bool = False
    is_silent: bool = False
    is_frozen: bool = False
    """True: nothing passes any more, and nobody is told."""
    _swallowed: set[trio.SocketStream] = field(factory=set)
    """The connections on which a message was sent that gets no answer."""
    _living: set[trio.SocketStream] = field(factory=set)

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextmanager
    def down(self) -> Iterator[None]:
        """Break all connections, and take no new ones, while the context is open."""
        self.is_down = True
        self.cut()
        try:
            yield
        finally:
            self.is_down = False

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Pass on messages, but no answers to them, while the context is open: connections break instead."""
        self.is_silent = True
        try:
            yield
        finally:
            self.is_silent = False
            self.cut()

    def cut(self) -> None:
        """Break all connections."""
        for stream in self._living:
            stream.socket.close()
        self._living.clear()

    async def serve(self, near: trio.SocketStream) -> None:
        if self.is_down:
            await trio.aclose_forcefully(near)
            return
        far = await trio.open_tcp_stream("127.0.0.1", self.target)
        self._living |= {near, far}
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._pump, near, far, nursery.cancel_scope)
                nursery.start_soon(self._pump, far, near, nursery.cancel_scope)
        finally:
            self._living -= {near, far}
            self._swallowed -= {near, far}
            for stream in (near, far):
                await trio.aclose_forcefully(stream)

    async def _pump(
        self, source: trio.SocketStream, sink: trio.SocketStream, scope: trio.CancelScope
    ) -> None:
        try:
            while data := await source.receive_some(65536):
                if self.is_frozen:
                    await trio.sleep_forever()
                if self.is_silent and data.startswith(b"PUT ") and b"/send/" in data:
                    self._swallowed.add(sink)
                if source in self._swallowed:
                    await trio.sleep(HELD_S)
                    break
                await sink.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        scope.cancel()


@asynccontextmanager
async def open_proxy(target: int) -> AsyncIterator[Proxy]:
    proxy = Proxy(target)
    async with trio.open_nursery() as nursery:
        serve = partial(trio.serve_tcp, host="127.0.0.1")
        [listener] = await nursery.start(serve, proxy.serve, 0)
        proxy.port = listener.socket.getsockname()[1]
        yield proxy
        nursery.cancel_scope.cancel()
