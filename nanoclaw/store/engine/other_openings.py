"""Finds descriptors of a database that this process opened without our SQLite (contract 6, Locks).

A process has one set of POSIX locks on a file, and closing any descriptor of it drops them all. So another
SQLite library in the process, such as that of the standard library's `sqlite3`, would make commits unsafe.
"""

import os
from contextlib import suppress
from pathlib import Path

import apsw

from nanoclaw.store.engine.errors import StoreError

_DESCRIPTORS = "/dev/fd"
"""On Linux and macOS it lists the descriptors of the process that reads it."""


class OpenElsewhere(StoreError):
    """Code of this process has the database open, without the store."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            path,
            "this process has it open already, by open() or by another SQLite library such as the standard "
            "library's sqlite3, which would undo the locks of the host; close it before the host starts, and "
            "read through host.central instead (docs/how-to/embed-in-a-trio-program.md)",
        )


def check(path: Path) -> None:
    """Refuse a database that this process has open by other means. Blocking.

    If our SQLite has it open, its own descriptors are among them, so nothing can be told, and nothing is
    refused. The same holds on a system that does not list descriptors.

    Raises:
        OpenElsewhere: the process has a descriptor of it.
    """
    try:
        wanted = path.stat()
        descriptors = os.listdir(_DESCRIPTORS)  # noqa: PTH208 -- numbers, not paths
    except OSError:
        return
    if any(_has_open(connection, path) for connection in apsw.connections()):
        return
    for descriptor in descriptors:
        with suppress(OSError, ValueError):  # the one of the listing itself is closed now
            if os.path.samestat(os.fstat(int(descriptor)), wanted):
                raise OpenElsewhere(path)


def _has_open(connection: apsw.Connection, path: Path) -> bool:
    """Return whether a connection has the file open. One that is being closed counts as one that has."""
    try:
        names = [connection.db_filename(name) for name in connection.db_names()]
    except (apsw.Error, apsw.ThreadingViolationError):
        return True
    return os.path.realpath(path) in map(os.path.realpath, filter(None, names))
