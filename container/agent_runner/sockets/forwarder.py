"""A TCP port on loopback that leads to the model gateway, for programs that cannot use a unix socket.

Other programs of this machine can reach the port, too, and could spend the owner's money. So each connection
must show the forwarder's secret as the API key of its first request. Everything after that passes unread.
"""

import json
import secrets
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import h11
import trio
from attrs import field, frozen

from agent_runner.background import background
from agent_runner.sockets.unix import connect

HEAD_TIMEOUT = 10.0
"""Seconds that a client may take for the head of its first request."""
LARGEST_HEAD = 64 * 1024
CHUNK = 64 * 1024
MOST_CONNECTIONS = 64
BROKEN = (OSError, trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError)


@frozen
class Forwarder:
    """An open forwarder: its address, and the key that its clients show."""

    url: str
    """The address of the gateway for programs, such as `http://127.0.0.1:40123`."""
    key: str = field(repr=False)
    """The secret, as `x-api-key` or as a bearer token. The gateway puts the real key in its place."""


@asynccontextmanager
async def open_forwarder(gateway: Path) -> AsyncGenerator[Forwarder]:
    """Forward a port of 127.0.0.1 to the socket `gateway` while the context is open. Raises OSError."""
    key = secrets.token_urlsafe(32)
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    _, port = listeners[0].socket.getsockname()
    serve = partial(_serve, gateway, key, trio.Semaphore(MOST_CONNECTIONS))
    async with background(partial(trio.serve_listeners, serve, listeners)):
        yield Forwarder(f"http://127.0.0.1:{port}", key)


async def _serve(gateway: Path, key: str, free: trio.Semaphore, client: trio.SocketStream) -> None:
    async with client, free:
        with suppress(*BROKEN):
            head = await _admitted(client, key)
            if head:
                await _forward(client, gateway, head)


async def _admitted(client: trio.SocketStream, key: str) -> bytes:
    """Return what a client with the key has sent so far. Refuse any other client, and return nothing."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=LARGEST_HEAD)
    received = bytearray()
    try:
        with trio.fail_after(HEAD_TIMEOUT):
            while (event := connection.next_event()) is h11.NEED_DATA:
                data = bytes(await client.receive_some(CHUNK))
                received += data
                connection.receive_data(data)
    except h11.RemoteProtocolError as error:
        await _refuse(client, connection, 400, "nanoclaw_forbidden", f"this is not an HTTP request: {error}")
        return b""
    if not isinstance(event, h11.Request):
        return b""
    if not _shows(event, key):
        await _refuse(client, connection, 401, "nanoclaw_forbidden", "this port serves its own agent only")
        return b""
    return bytes(received)


def _shows(request: h11.Request, key: str) -> bool:
    headers: Mapping[bytes, bytes] = dict(request.headers)
    bearer = headers.get(b"authorization", b"").removeprefix(b"Bearer ")
    given = headers.get(b"x-api-key", bearer)
    return secrets.compare_digest(given, key.encode())


async def _forward(client: trio.SocketStream, gateway: Path, head: bytes) -> None:
    try:
        stream = await connect(gateway)
    except OSError as error:
        reason = f"the model gateway cannot be reached: {error.strerror}"
        await _refuse(client, h11.Connection(h11.SERVER), 502, "nanoclaw_upstream", reason)
        return
    async with stream:
        await stream.send_all(head)
        async with trio.open_nursery() as nursery:
            # Whichever side ends first ends the connection: an HTTP client that closes its half has gone.
            for source, sink in ((client, stream), (stream, client)):
                nursery.start_soon(_pump, source, sink, nursery.cancel_scope)


async def _pump(source: trio.SocketStream, sink: trio.SocketStream, both: trio.CancelScope) -> None:
    with suppress(*BROKEN):
        while data := await source.receive_some(CHUNK):
            await sink.send_all(data)
    both.cancel()


async def _refuse(
    client: trio.SocketStream, connection: h11.Connection, status: int, kind: str, message: str
) -> None:
    """Answer in the form of the gateway's own errors."""
    body = json.dumps({"type": "error", "error": {"type": kind, "message": message}}).encode()
    headers = [
        ("content-type", "application/json"),
        ("content-length", str(len(body))),
        ("connection", "close"),
    ]
    head = connection.send(h11.Response(status_code=status, headers=headers))
    await client.send_all((head or b"") + (connection.send(h11.Data(data=body)) or b""))
