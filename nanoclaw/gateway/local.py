"""Doors without sockets, for runners that are tasks of this process, as in a simulation."""

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path

from attrs import define, field

from nanoclaw.gateway.proxy import Answer, Caller, Proxy, Request


class NoDoor(Exception):
    """The gateway does not serve this runner now, as after the death of the host."""


@define(eq=False)
class LocalDoors:
    """The open doors of one host, or of several that run one after the other, by the path of the socket."""

    _open: dict[Path, tuple[Proxy, Caller]] = field(factory=dict, init=False, repr=False)

    def ask(self, path: Path, request: Request) -> AbstractAsyncContextManager[Answer]:
        """Ask as the runner whose socket would be at `path`. Raises NoDoor."""
        if path not in self._open:
            raise NoDoor(f"the gateway does not serve {path}")
        proxy, caller = self._open[path]
        return proxy.handle(caller, request)

    @contextmanager
    def opened(self, path: Path, proxy: Proxy, caller: Caller) -> Iterator[None]:
        """Serve a runner while the context is open."""
        mine = self._open[path] = (proxy, caller)
        try:
            yield
        finally:
            if self._open.get(path) is mine:
                del self._open[path]
