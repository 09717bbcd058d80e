"""Opens connections, and keeps everybody else from opening writable ones below a directory owned here."""

import os
import stat
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import ENOTDIR
from pathlib import Path

import apsw

from nanoclaw.store.errors import CannotOpen

PRIVATE_DIR = 0o700
PRIVATE_FILE = 0o600

# The two are of the process, as SQLite's hook is: which directories it owns, and whether this thread is ours.
_owned: Counter[str] = Counter()
_ours = threading.local()


class ForbiddenConnection(Exception):
    """Somebody opened a writable connection to a database that an owner in this process writes."""


def open_writable(path: Path) -> apsw.Connection:
    """A read-write connection; the file is created, for its user alone, if it is missing. For owners only."""
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
    """A connection that can never write (`mode=ro`)."""
    _check_regular(path)
    return apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)


def _check_regular(path: Path) -> None:
    """Anything else is no database, and to open one may take for ever."""
    with suppress(FileNotFoundError):
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise CannotOpen(path, f"is no regular file ({stat.filemode(mode)}); move it away")


def make_private_dir(path: Path) -> None:
    """Make a directory, and those above it that are missing, for our user alone.

    Raises:
        OSError: it cannot be made; also where a file has its name.
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
    """While it lasts, writable connections below `directory` are the store's alone."""
    place = os.path.realpath(directory)
    _owned[place] += 1
    try:
        yield
    finally:
        _owned[place] -= 1
        if not _owned[place]:
            del _owned[place]


def _refuse_others(connection: apsw.Connection) -> None:
    """Run by apsw for each new connection."""
    if getattr(_ours, "opening", False) or not connection.filename or connection.readonly("main"):
        return
    path = connection.filename
    for directory in tuple(_owned):
        if path.startswith(f"{directory}/") and not _is_runners(path.removeprefix(directory)):
            raise ForbiddenConnection(
                f"{path} has an owner in this process; ask it to write, or open it mode=ro"
            )


def _is_runners(path: str) -> bool:
    """Is it in a session's `outbound/`? The path is below a data directory or a session."""
    _, *parts = path.split("/")
    below_data = parts[:1] == ["sessions"] and parts[3:4] == ["outbound"]
    return below_data or parts[:1] == ["outbound"]


apsw.connection_hooks.append(_refuse_others)
