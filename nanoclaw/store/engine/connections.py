"""Opens connections. Below a directory that this process owns, only the store may open writable ones."""

import os
import stat
import threading
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import ENOTDIR
from functools import partial
from pathlib import Path

import apsw

from nanoclaw.store.engine.errors import CannotOpen, ReadOnlyStore, translating
from nanoclaw.system.obstacles import Obstacle, advice, is_text, may

PRIVATE_DIR = 0o700
PRIVATE_FILE = 0o600
SIDECARS = ("-wal", "-shm", "-journal")

# The owned directories, and a flag for each thread that may open. apsw's connection hook is process-wide too.
_owned: Counter[str] = Counter()
_ours = threading.local()


class ForbiddenConnection(Exception):
    """Code outside the store opened a writable connection to a database that this process owns."""


def open_writable(path: Path) -> apsw.Connection:
    """Open a read-write connection, for owners only. A missing file is created with mode 0600.

    Raises:
        CannotOpen: the path is not a regular file, or SQLite cannot take its name.
        ReadOnlyStore: this process may not write the file.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, PRIVATE_FILE))
    _check(path)
    if not may(path, os.R_OK | os.W_OK):
        # SQLite would create sidecars with the permissions of the file, and fail later.
        raise ReadOnlyStore(path, advice(Obstacle.DENIED, path))
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_NOFOLLOW
    _ours.opening = True
    try:
        connection = apsw.Connection(os.path.realpath(path.parent) + f"/{path.name}", flags=flags)
    finally:
        _ours.opening = False
    connection.limit(apsw.SQLITE_LIMIT_ATTACHED, 0)  # a transaction concerns its own file
    return connection


def open_readonly(path: Path) -> apsw.Connection:
    """Open a connection that can never write (`mode=ro`).

    Raises:
        CannotOpen: the path is not a regular file, or SQLite cannot take its name.
    """
    _check(path)
    return apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)


def _check(path: Path) -> None:
    """Refuse any file but a regular one: opening a pipe or device may block for ever. Mend its sidecars."""
    if not is_text(path):
        why = "its path is not valid UTF-8, which SQLite needs; rename the folder or choose another"
        raise CannotOpen(path, f"cannot be opened: {why}")
    with translating(path), suppress(FileNotFoundError):
        mode = path.lstat().st_mode
        if not stat.S_ISREG(mode):
            kind = Obstacle.LINK if stat.S_ISLNK(mode) else Obstacle.IRREGULAR
            raise CannotOpen(path, advice(kind, path))
        _mend_sidecars(path, mode)


def _mend_sidecars(path: Path, mode: int) -> None:
    """Give the sidecars of a database its own permissions for its owner.

    SQLite creates a sidecar with the permissions of its database. So a database that was read-only for a
    while may have sidecars that nobody may write.
    """
    for suffix in SIDECARS:
        sidecar = f"{path}{suffix}"
        with suppress(FileNotFoundError):
            grant(sidecar, os.lstat(sidecar), mode & 0o600)


def grant(path: str | Path, found: os.stat_result, mode: int) -> bool:
    """Add permissions to a regular file of this user that lacks them. Return whether it lacked any."""
    lacks = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and bool(mode & ~found.st_mode)
    if lacks:
        os.chmod(path, stat.S_IMODE(found.st_mode) | mode)  # noqa: PTH101 -- a sidecar's name is text
    return lacks


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


def sync(path: Path) -> None:
    """Wait until a file, or the entries of a folder, are on disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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

    apsw calls this hook for each new connection. A connection may attach such a file later, so its authorizer
    looks at what it attaches. A program that sets an authorizer of its own loses that check.
    """
    if getattr(_ours, "opening", False) or connection.readonly("main"):
        return
    _refuse_if_owned(connection.filename)
    connection.authorizer = partial(_authorize, weakref.ref(connection))


def _authorize(
    of: "weakref.ref[apsw.Connection]",
    action: int,
    first: str | None,
    _second: str | None,
    database: str | None,
    _cause: str | None,
) -> int:
    """Raise if a statement attaches a writable file of an owner, or uses one that is attached.

    SQLite does not tell the name of a file that is a bound parameter of ATTACH. So each use is looked at.
    """
    connection = of()
    if not _owned or connection is None:
        return apsw.SQLITE_OK
    if action == apsw.SQLITE_ATTACH and first and not first.startswith("file:"):
        _refuse_if_owned(os.path.realpath(first))
    elif database not in {None, "main", "temp"} and not connection.readonly(str(database)):
        _refuse_if_owned(connection.db_filename(str(database)))
    return apsw.SQLITE_OK


def _refuse_if_owned(path: str) -> None:
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
