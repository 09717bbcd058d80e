"""The path of the socket, even if it is too long: the kernel limits it to about a hundred bytes."""

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

NAME = "control.sock"
MAX_PATH = 107 if sys.platform == "linux" else 103
"""Bytes of a socket's path (`sun_path`)."""


class PathTooLong(OSError):
    """The kernel of this platform cannot name the socket."""


def socket_path(data: Path) -> Path:
    """Return the control socket of the host that owns a data directory."""
    return data / NAME


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
            raise FileExistsError("it is no socket; move it away")
        path.unlink()
