"""SQLite's own locks on a database file, taken without SQLite. So a reader respects a live writer.

On Linux these are open file description locks. They conflict with SQLite's locks even within this process.
Closing the descriptor releases no other lock. Other systems have only process locks, which SQLite uses too.
"""

import fcntl
import os
import struct
import sys

# The bytes that SQLite locks are on a page that holds no data (os.h of SQLite).
PENDING = 0x40000000
RESERVED = PENDING + 1
SHARED_FIRST = PENDING + 2
SHARED_SIZE = 510

# `struct flock`: type, whence, start, length, pid on Linux; start, length, pid, type, whence on macOS.
_TYPE_FIRST = sys.platform == "linux"
_FLOCK = struct.Struct("@hhqqi" if _TYPE_FIRST else "@qqihh")
_TYPE = 0 if _TYPE_FIRST else 3
_PADDING = bytes(4)
_SET = getattr(fcntl, "F_OFD_SETLK", fcntl.F_SETLK)
_GET = getattr(fcntl, "F_OFD_GETLK", fcntl.F_GETLK)


def lock_shared(descriptor: int) -> bool:
    """Take a reader's lock as SQLite does. Return False while a writer is committing or about to commit."""
    if not _try(descriptor, fcntl.F_RDLCK, PENDING, 1):
        return False
    locked = _try(descriptor, fcntl.F_RDLCK, SHARED_FIRST, SHARED_SIZE)
    _try(descriptor, fcntl.F_UNLCK, PENDING, 1)
    return locked


def unlock(descriptor: int) -> None:
    """Release all SQLite locks that this descriptor holds."""
    _try(descriptor, fcntl.F_UNLCK, PENDING, 2 + SHARED_SIZE)


def is_reserved(descriptor: int) -> bool:
    """Return whether another connection holds the RESERVED lock: it is preparing a change."""
    answer = fcntl.fcntl(descriptor, _GET, _flock(fcntl.F_WRLCK, RESERVED, 1))
    return int(_FLOCK.unpack_from(answer)[_TYPE]) != fcntl.F_UNLCK


def _try(descriptor: int, kind: int, start: int, length: int) -> bool:
    try:
        fcntl.fcntl(descriptor, _SET, _flock(kind, start, length))
    except (BlockingIOError, PermissionError):
        return False
    return True


def _flock(kind: int, start: int, length: int) -> bytes:
    what, where = (kind, os.SEEK_SET), (start, length, 0)
    fields = (*what, *where) if _TYPE_FIRST else (*where, *what)
    return _FLOCK.pack(*fields) + _PADDING
