"""The internet as the proxy uses it: names and connections. Tests put their own in its place."""

import socket
from collections.abc import Sequence
from functools import partial
from typing import Protocol

import trio
from attrs import field, frozen

MOST_LOOKUPS = 64
"""Names that are looked up at a time, each in a thread of its own. A thread may outlast its caller."""


class Internet(Protocol):
    """Resolves and connects. It judges nothing: the proxy checks each address before it connects."""

    async def resolve(self, host: str, /) -> Sequence[str]:
        """Return the addresses of a name. Raises OSError. The caller bounds the time."""
        ...

    async def connect(self, address: str, port: int, /) -> trio.abc.HalfCloseableStream:
        """Connect to an address. Raises OSError. The caller bounds the time."""
        ...

    def is_own(self, address: str, /) -> bool:
        """Return True if an address is one of this machine."""
        ...


@frozen
class PublicInternet:
    """The internet of this machine."""

    _lookups: trio.CapacityLimiter = field(factory=lambda: trio.CapacityLimiter(MOST_LOOKUPS), init=False)

    async def resolve(self, host: str) -> Sequence[str]:
        """Ask the system's resolver. A cancelled look-up ends by itself; it keeps its slot until then."""
        ask = partial(socket.getaddrinfo, host, None, type=socket.SOCK_STREAM)
        found = await trio.to_thread.run_sync(ask, abandon_on_cancel=True, limiter=self._lookups)
        return list(dict.fromkeys(str(address[0]) for *_, address in found))

    async def connect(self, address: str, port: int) -> trio.SocketStream:
        """Connect by TCP."""
        client = trio.socket.socket(_family(address), socket.SOCK_STREAM)
        try:
            await client.connect((address, port))
        except BaseException:
            client.close()
            raise
        return trio.SocketStream(client)

    def is_own(self, address: str) -> bool:
        """Return True if this machine would use the address itself to reach it. Nothing is sent."""
        try:
            with socket.socket(_family(address), socket.SOCK_DGRAM) as probe:
                probe.connect((address, 9))
                return str(probe.getsockname()[0]) == address
        except OSError:
            return False  # it cannot be reached at all


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET
