"""Unix sockets: names for paths that are too long for the kernel, and the removal of stale ones."""

import os
import socket
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MAX_PATH = 107 if sys.platform == "linux" else 103
"""Bytes of a socket's path (`sun_path`)."""
PRIVATE = 0o600


class PathTooLong(OSError):
    """The kernel of this platform cannot name the socket."""


@contextmanager
def nameable(path: Path) -> Iterator[str]:
    """Yield a short enough name for `path`; it is valid while the context is open.

    Raises:
        PathTooLong: it is too long, and only Linux can name it through a descriptor of its directory.
        OSError: its directory cannot be opened.
    """
    if len(os.fsencode(path)) <= MAX_PATH:
        yield str(path)
        return
    if sys.platform != "linux":
        raise PathTooLong(f"its path is longer than {MAX_PATH} bytes; choose a shorter --data")
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def remove_socket(path: Path) -> None:
    """Remove the socket of a dead host; only the owner of the data directory may.

    Raises:
        OSError: something else has that name, or it cannot be removed.
    """
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise FileExistsError("it is not a socket; move it away")
        path.unlink()


def listening(path: Path, backlog: int, mode: int = PRIVATE) -> socket.socket:
    """Return a socket that listens at `path`. A stale socket is replaced. The caller removes the path.

    Raises:
        OSError: it cannot be created.
    """
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        remove_socket(path)
        with nameable(path) as name:
            bound.bind(name)
        path.chmod(mode)  # before `listen`, nobody can connect
        bound.listen(backlog)
    except BaseException:
        bound.close()
        raise
    return bound
