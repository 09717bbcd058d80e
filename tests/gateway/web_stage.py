"""The proxy of the web with real sockets, a real central database, and an internet on loopback."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from random import Random

import trio
from attrs import define

from actors import Policy
from nanoclaw.gateway import Gateway, HttpServers, Proxy, SiteKeeper, WebCaller, WebProxy, open_gateway
from nanoclaw.records.network import NetworkRule, Site
from nanoclaw.system.supervision import Supervision
from nanoclaw.testing import FakeInternet
from tests.registry.office import Office, an_office

PUBLIC = "93.184.216.34"
GUARD_S = 30.0
"""An upper bound on a hang; nothing waits for it."""

Handler = Callable[[trio.SocketStream], Awaitable[None]]


def listed(*sites: str) -> NetworkRule:
    return NetworkRule("listed", tuple(map(Site.of, sites)))


@define(eq=False)
class WebStage:
    """The gateway with a proxy, the registry behind it, and agent `main`."""

    home: Path
    office: Office
    gateway: Gateway
    proxy: WebProxy
    internet: FakeInternet
    agent: str
    _stack: AsyncExitStack

    async def door(self, rule: NetworkRule, session: str = "s1", agent: str | None = None) -> Path:
        """Open a sandbox's door, and return its path."""
        path = self.home / session / "gateway" / "web.sock"
        caller = WebCaller(session, agent or self.agent, rule)
        await self._stack.enter_async_context(self.gateway.web_door(path, caller))
        return path

    async def server(self, handler: Handler, *sites: str, address: str = PUBLIC) -> None:
        """Serve sites, such as `example.org:443`, on loopback."""

        async def serve(stream: trio.SocketStream) -> None:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                async with stream:
                    await handler(stream)

        nursery = await self._stack.enter_async_context(trio.open_nursery())
        self._stack.callback(nursery.cancel_scope.cancel)
        listeners = await nursery.start(trio.serve_tcp, serve, 0)
        port = listeners[0].socket.getsockname()[1]
        for site in sites:
            host, _, at = site.rpartition(":")
            self.internet.names.setdefault(host, (address,))
            self.internet.servers[address, int(at)] = port


@asynccontextmanager
async def a_web_stage(home: Path) -> AsyncIterator[WebStage]:
    internet, supervision = FakeInternet(), Supervision(Random(1))
    with trio.fail_after(GUARD_S):
        async with AsyncExitStack() as stack:
            office = await stack.enter_async_context(an_office(home / "data"))
            agent = await office.admin.agent_groups.by_folder("main") or await office.agent("main")
            models = HttpServers()
            stack.push_async_callback(models.aclose)
            root = await stack.enter_async_context(supervision.open("host", under=None, policy=Policy()))
            sites = SiteKeeper(office.registry, office.central, office.changes)
            web = WebProxy(sites, internet)
            opened = open_gateway(Proxy(models), supervision, under=root, web=web)
            gateway = await stack.enter_async_context(opened)
            yield WebStage(home, office, gateway, web, internet, agent.id, stack)


async def said(path: Path, data: bytes, *, end: bool = False) -> bytes:
    """Send bytes to a door, and return all that comes back."""
    async with await trio.open_unix_socket(path) as stream:
        with suppress(trio.BrokenResourceError):
            await stream.send_all(data)
            if end:
                await stream.send_eof()
        return await everything(stream)


async def everything(stream: trio.SocketStream) -> bytes:
    """Return all that comes until the end, and close the connection."""
    received = bytearray()
    async with stream:
        with suppress(trio.BrokenResourceError):
            while data := await stream.receive_some(65536):
                received += data
    return bytes(received)


async def tunnel(path: Path, site: str) -> tuple[trio.SocketStream, bytes]:
    """Ask for a tunnel. Return the connection, and the head of the answer."""
    stream = await trio.open_unix_socket(path)
    await stream.send_all(f"CONNECT {site} HTTP/1.1\r\nHost: {site}\r\n\r\n".encode())
    head = bytearray()
    while b"\r\n\r\n" not in head:
        if not (data := await stream.receive_some(1)):
            break
        head += data
    return stream, bytes(head)


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


async def connect(path: Path, site: str) -> int:
    """Return the status of a request for a tunnel, which is closed again."""
    stream, head = await tunnel(path, site)
    await stream.aclose()
    return status(head)
