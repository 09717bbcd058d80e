"""Unix sockets by a path of any length. The kernel limits a socket's path to about a hundred bytes."""

import os
import socket
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import trio

MAX_PATH = 107 if sys.platform == "linux" else 103
"""Bytes of a socket's path (`sun_path`)."""


async def connect(path: Path) -> trio.SocketStream:
    """Connect to the socket at `path`. Raises OSError."""
    with nameable(path) as name:
        client = trio.socket.socket(socket.AF_UNIX)
        try:
            await client.connect(name)
        except BaseException:
            client.close()
            raise
    return trio.SocketStream(client)


@asynccontextmanager
async def listening(path: Path) -> AsyncGenerator[trio.SocketListener]:
    """Listen at `path`, for this user alone. The socket of a dead process is replaced. Raises OSError."""
    _remove(path)
    # trio would bind in a thread. It is a moment's work, and no simulated runner may use threads.
    listener = socket.socket(socket.AF_UNIX)
    with nameable(path) as name:
        listener.bind(name)
        os.chmod(name, 0o600)  # noqa: PTH101 -- the name may be one of a descriptor
    listener.listen(16)
    async with trio.SocketListener(trio.socket.from_stdlib_socket(listener)) as opened:
        try:
            yield opened
        finally:
            _remove(path)


def _remove(path: Path) -> None:
    with suppress(FileNotFoundError):
        path.unlink()


@contextmanager
def nameable(path: Path) -> Iterator[str]:
    """Yield a name for `path` that is short enough, valid inside the context. Raises OSError before it."""
    if len(os.fsencode(path)) <= MAX_PATH or sys.platform != "linux":
        yield str(path)
        return
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
