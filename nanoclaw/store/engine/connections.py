"""Opens connections. Below a directory that this process owns, only the store may open writable ones."""

import os
import stat
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import ENOTDIR
from pathlib import Path

import apsw

from nanoclaw.store.engine.errors import CannotOpen

PRIVATE_DIR = 0o700
PRIVATE_FILE = 0o600

# The owned directories, and a flag for each thread that may open. apsw's connection hook is process-wide too.
_owned: Counter[str] = Counter()
_ours = threading.local()


class ForbiddenConnection(Exception):
    """Code outside the store opened a writable connection to a database that this process owns."""


def open_writable(path: Path) -> apsw.Connection:
    """Open a read-write connection, for owners only. A missing file is created with mode 0600.

    Raises:
        CannotOpen: the path is not a regular file.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, PRIVATE_FILE))
    _check_regular(path)
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_NOFOLLOW
    _ours.opening = True
    try:
        return apsw.Connection(os.path.realpath(path.parent) + f"/{path.name}", flags=flags)
    finally:
        _ours.opening = False


def open_readonly(path: Path) -> apsw.Connection:
    """Open a connection that can never write (`mode=ro`).

    Raises:
        CannotOpen: the path is not a regular file.
    """
    _check_regular(path)
    return apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)


def _check_regular(path: Path) -> None:
    """Refuse pipes, devices and directories: opening one may block for ever."""
    with suppress(FileNotFoundError):
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise CannotOpen(path, f"is not a regular file ({stat.filemode(mode)}); move it away")


def make_private_dir(path: Path) -> None:
    """Create a directory and its missing parents with mode 0700.

    Raises:
        OSError: it cannot be created, or a file has its name.
    """
    if path.is_dir():
        return
    missing = [directory for directory in (path, *path.parents) if not directory.exists()]
    for directory in reversed(missing):
        with suppress(FileExistsError):
            directory.mkdir(mode=PRIVATE_DIR)
    if not path.is_dir():
        raise NotADirectoryError(ENOTDIR, os.strerror(ENOTDIR), str(path))


@contextmanager
def guarding(directory: Path) -> Iterator[None]:
    """Refuse other code's writable connections below `directory` while the context is open."""
    place = os.path.realpath(directory)
    _owned[place] += 1
    try:
        yield
    finally:
        _owned[place] -= 1
        if not _owned[place]:
            del _owned[place]


def _refuse_others(connection: apsw.Connection) -> None:
    """Raise if a new connection is writable, below an owned directory, and not opened by the store.

    apsw calls this hook for each new connection.
    """
    if getattr(_ours, "opening", False) or not connection.filename or connection.readonly("main"):
        return
    path = connection.filename
    for directory in tuple(_owned):
        if path.startswith(f"{directory}/") and not _is_runners(path.removeprefix(directory)):
            raise ForbiddenConnection(
                f"{path} has an owner in this process: write through its Writer, or open it with mode=ro"
            )


def _is_runners(path: str) -> bool:
    """Return whether the runner writes this file. `path` is relative to a data directory or a session."""
    _, *parts = path.split("/")
    below_data = parts[:1] == ["sessions"] and parts[3:4] == ["outbound"]
    return below_data or parts[:1] == ["outbound"]


apsw.connection_hooks.append(_refuse_others)
