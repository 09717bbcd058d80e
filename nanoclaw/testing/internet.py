"""An internet for tests: names and public addresses that lead to servers on loopback."""

from collections.abc import Mapping, MutableMapping, Sequence

import trio
from attrs import Factory, define


@define(eq=False)
class FakeInternet:
    """An internet for `Seams.internet`. The proxy checks the addresses, as it does with the real one."""

    names: MutableMapping[str, Sequence[str]] = Factory(dict)
    """The addresses of each name."""
    servers: MutableMapping[tuple[str, int], int] = Factory(dict)
    """The port on loopback that answers for each address and port."""
    own: frozenset[str] = frozenset()
    """The addresses of this machine."""
    looked_up: list[str] = Factory(list)
    """The names that were looked up, in order."""
    connected: list[tuple[str, int]] = Factory(list)
    """The addresses and ports that were connected to, in order."""

    @classmethod
    def of(cls, sites: Mapping[str, int], address: str = "93.184.216.34") -> "FakeInternet":
        """Return an internet where each `host:port` leads to a port on loopback."""
        internet = cls()
        for site, at in sites.items():
            host, _, port = site.rpartition(":")
            internet.names[host] = (address,)
            internet.servers[address, int(port)] = at
        return internet

    async def resolve(self, host: str) -> Sequence[str]:
        """Return the addresses of a name. Raises OSError if it has none."""
        await trio.lowlevel.checkpoint()
        self.looked_up.append(host)
        if host not in self.names:
            raise OSError(-2, "Name or service not known")
        return self.names[host]

    async def connect(self, address: str, port: int) -> trio.SocketStream:
        """Connect to the server on loopback. Raises OSError if there is none."""
        self.connected.append((address, port))
        if (address, port) not in self.servers:
            raise ConnectionRefusedError(111, "Connection refused")
        stream = await trio.open_tcp_stream("127.0.0.1", self.servers[address, port])
        assert isinstance(stream, trio.SocketStream)  # noqa: S101 -- trio's own return type
        return stream

    def is_own(self, address: str) -> bool:
        """Return True if a test says so."""
        return address in self.own
