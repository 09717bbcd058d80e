"""The sandbox's way to the web: a port of its own loopback that leads to the gateway's proxy.

Programs find it by the usual variables, such as HTTPS_PROXY. Only a sandbox has it: its loopback is its own,
so whoever reaches the port could reach the socket, too.
"""

import socket
from collections.abc import AsyncGenerator, Mapping, MutableMapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import trio

from agent_runner.background import background
from agent_runner.config import RunnerConfig
from agent_runner.log import Log
from agent_runner.sockets.unix import connect

CHUNK = 256 * 1024
BUFFER = 512 * 1024
"""Bytes of the kernel's buffer towards the gateway."""
MOST_CONNECTIONS = 48
"""Less than the proxy takes, which sees the end of a connection a little later. More wait here."""
NOT_PROXIED = "127.0.0.1,localhost,::1"
VARIABLES = (
    *("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "NO_PROXY", "no_proxy"),
    "NODE_USE_ENV_PROXY",
)
"""The variables that programs find the proxy by."""
Gone = (OSError, trio.BrokenResourceError, trio.ClosedResourceError)


@asynccontextmanager
async def open_web(
    config: RunnerConfig, environment: MutableMapping[str, str], log: Log
) -> AsyncGenerator[None]:
    """Forward a port to the proxy while the block runs, and name it in `environment`.

    Without a proxy, or outside of a sandbox, it changes nothing. A port that cannot be opened is logged: the
    agent then works without the web.
    """
    if config.web_socket is None or not config.sandboxed:
        yield
        return
    try:
        listeners = await trio.open_tcp_listeners(0, host=b"127.0.0.1")  # a text would import idna
    except OSError as error:
        log("web.unavailable", level="warning", reason=str(error))
        yield
        return
    _, port = listeners[0].socket.getsockname()
    environment.update(variables(port))
    serve = partial(_serve, config.web_socket, trio.Semaphore(MOST_CONNECTIONS))
    async with background(partial(trio.serve_listeners, serve, listeners)):
        yield


def variables(port: int) -> Mapping[str, str]:
    """Return the variables that lead programs to a port."""
    url = f"http://127.0.0.1:{port}"
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), url)
    direct = dict.fromkeys(("NO_PROXY", "no_proxy"), NOT_PROXIED)
    return {**proxies, **direct, "NODE_USE_ENV_PROXY": "1"}


async def _serve(proxy: Path, free: trio.Semaphore, client: trio.SocketStream) -> None:
    """Pass a connection on."""
    try:
        async with client, free, await connect(proxy) as server, trio.open_nursery() as nursery:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
            nursery.start_soon(_pump, client, server)
            nursery.start_soon(_pump, server, client)
    except* Gone:
        pass


async def _pump(source: trio.SocketStream, sink: trio.SocketStream) -> None:
    """Copy until the source ends, then end the sink."""
    while data := await source.receive_some(CHUNK):
        await sink.send_all(data)
    await sink.send_eof()
