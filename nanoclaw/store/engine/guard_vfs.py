"""The SQLite file system (VFS) for a container's file: read-only access to one regular file.

Files are opened relative to a descriptor of their directory. It follows no link, never blocks, and creates,
changes and deletes nothing. Every other request is refused with a reason (contract 6).
"""

import os
import stat
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Never

import apsw
from attrs import define, frozen

from nanoclaw.store.engine import file_locks
from nanoclaw.system.obstacles import passes

WAL_FORMAT = 2
FORMAT_BYTES = slice(18, 20)
OPEN_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
DIRECTORY_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC
LIBRARIES = {"xDlOpen", "xDlSym", "xDlClose", "xDlError"}

_serial = count(1)  # SQLite finds a VFS by its name, which must be unique in the process


@frozen
class Bounds:
    """Limits for a hostile file: bytes of the file, bytes of a row, seconds of a transaction.

    The seconds are processor time of the worker thread. Wall time would also refuse honest files on a busy
    machine.
    """

    file_bytes: int = 1 << 30
    row_bytes: int = 48 << 20
    deadline_s: float = 1.0


@define(eq=False)
class Verdict:
    """The reason why the file was refused, if any, and the deadline of the current transaction."""

    bounds: Bounds
    reason: str | None = None
    failure: OSError | None = None
    """The system's error that kept the file from being read. It is no verdict on the file."""
    ends: float = 0.0
    processor_time: Callable[[], float] = time.thread_time
    """Processor time of this thread in seconds. It is not a clock that a simulation replaces."""

    def begin(self) -> None:
        """Start a transaction: reset the reason, the failure and the deadline."""
        self.reason, self.failure = None, None
        self.ends = self.processor_time() + self.bounds.deadline_s

    def refuse(self, reason: str) -> Never:
        """Fail the current call of SQLite. The first reason is kept."""
        self.reason = self.reason or reason
        raise apsw.IOError(reason)

    def fail(self, error: OSError, reason: str) -> Never:
        """Fail the current call of SQLite. Only an error that says something about the file refuses it."""
        if not passes(error):
            self.refuse(f"{reason} ({error.strerror})")
        self.failure = self.failure or error
        raise apsw.IOError(str(error))

    def is_late(self) -> bool:
        """Return whether the deadline has passed, and record the reason. It is SQLite's progress handler."""
        late = self.processor_time() > self.ends
        if late:
            self.reason = self.reason or f"took more than {self.bounds.deadline_s:g} s to read"
        return late


class GuardVFS(apsw.VFS):
    """Gives SQLite read access to the database at `path`, and to its journal if there is one."""

    def __init__(self, path: Path, verdict: Verdict) -> None:
        self.vfs_name = f"nanoclaw-guard-{next(_serial)}"
        super().__init__(self.vfs_name, "", iVersion=1, exclude=LIBRARIES)
        self._path = str(path)
        self._folder, self._name = path.parent, path.name
        self._verdict = verdict

    def xFullPathname(self, name: str) -> str:  # noqa: N802 -- SQLite's name
        """Return the name unchanged: resolving it would follow links."""
        return name

    def xAccess(self, pathname: str, flags: int) -> bool:  # noqa: ARG002, N802 -- SQLite's name
        """Return whether the journal exists. A write-ahead log or an irregular file is refused."""
        if pathname == f"{self._path}-journal":
            return self._stat(f"{self._name}-journal") is not None
        if pathname == f"{self._path}-wal" and self._stat(f"{self._name}-wal") is not None:
            self._verdict.refuse("has a write-ahead log")
        return False

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: ARG002, FBT001, N802 -- SQLite's
        """Refuse: a crafted journal can name files to delete."""
        self._verdict.refuse(f"asked to delete {filename!r}")

    def xOpen(  # type: ignore[override]  # noqa: N802 -- apsw's stub wants its own class, its text any object
        self, name: "str | apsw.URIFilename | None", flags: list[int]
    ) -> "GuardFile":
        """Open the database or its journal for reading; refuse any other file."""
        wanted = name.filename() if isinstance(name, apsw.URIFilename) else name
        if wanted == self._path and flags[0] & apsw.SQLITE_OPEN_MAIN_DB:
            file_name = self._name
        elif wanted == f"{self._path}-journal" and flags[0] & apsw.SQLITE_OPEN_MAIN_JOURNAL:
            file_name = f"{self._name}-journal"
        else:
            self._verdict.refuse(f"requires another file, {wanted!r}")
        descriptor = self._open(file_name)
        flags[1] = apsw.SQLITE_OPEN_READONLY | (flags[0] & apsw.SQLITE_OPEN_MAIN_DB)
        return GuardFile(descriptor, self._folder / file_name, self._verdict)

    def _open(self, name: str) -> int:
        # Opening a device may have an effect, so check first. Check again after opening, because the
        # container may have replaced the file in between.
        if self._stat(name) is None:
            # The journal may disappear after SQLite saw it: its writer has committed.
            if name == self._name:
                self._verdict.reason = "is missing"
            raise apsw.CantOpenError(f"{name} is missing")
        directory = self._directory()
        try:
            descriptor = os.open(name, OPEN_FLAGS, dir_fd=directory)
        except FileNotFoundError as error:
            raise apsw.CantOpenError(f"{name} is missing") from error
        except OSError as error:
            self._verdict.fail(error, "cannot be opened")
        finally:
            os.close(directory)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            self._verdict.refuse(f"is not a regular file: {name}")
        return descriptor

    def _directory(self) -> int:
        """Open the directory for a moment. A session does not hold a descriptor for it."""
        try:
            return os.open(self._folder, DIRECTORY_FLAGS)
        except OSError as error:
            self._verdict.fail(error, "is not in a readable directory")

    def _stat(self, name: str) -> os.stat_result | None:
        """Return the status of a regular file without following a link, or None if it does not exist."""
        try:
            found = os.lstat(self._folder / name)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._verdict.fail(error, "cannot be examined")
        if not stat.S_ISREG(found.st_mode):
            self._verdict.refuse(f"is not a regular file: {name} is {stat.filemode(found.st_mode)}")
        return found


class GuardFile:
    """An open regular file, read through its descriptor."""

    def __init__(self, descriptor: int, path: Path, verdict: Verdict) -> None:
        self._descriptor = descriptor
        self._path = path
        self._verdict = verdict
        found = os.fstat(descriptor)
        self._identity = (found.st_dev, found.st_ino)

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802 -- SQLite's name
        """Read bytes. At the end of the file SQLite gets fewer and treats the rest as zeros."""
        if self._verdict.is_late():
            self._verdict.refuse("took too long")
        try:
            data = os.pread(self._descriptor, amount, offset)
        except OSError as error:
            self._verdict.fail(error, "cannot be read")
        if offset == 0 and WAL_FORMAT in data[FORMAT_BYTES]:
            self._verdict.refuse("is in WAL mode")
        return data

    def xFileSize(self) -> int:  # noqa: N802 -- SQLite's name
        """Return the size in bytes; refuse a file above the limit."""
        size = os.fstat(self._descriptor).st_size
        if size > self._verdict.bounds.file_bytes:
            self._verdict.refuse(f"is larger than {self._verdict.bounds.file_bytes} bytes")
        return size

    def xLock(self, level: int) -> None:  # noqa: N802 -- SQLite's name
        """Take a shared lock. Each transaction begins with it, so the file is checked here."""
        if level != apsw.SQLITE_LOCK_SHARED:
            raise apsw.ReadOnlyError("a guarded file is never written")
        self._check_in_place()
        if not file_locks.lock_shared(self._descriptor):
            raise apsw.BusyError("its writer holds the lock")

    def xUnlock(self, level: int) -> None:  # noqa: N802 -- SQLite's name
        """Release the shared lock."""
        if level == apsw.SQLITE_LOCK_NONE:
            file_locks.unlock(self._descriptor)

    def xCheckReservedLock(self) -> bool:  # noqa: N802 -- SQLite's name
        """Return whether a writer is active. If so, the journal is not hot."""
        return file_locks.is_reserved(self._descriptor)

    def xClose(self) -> None:  # noqa: N802 -- SQLite's name
        """Close the file."""
        os.close(self._descriptor)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: ARG002, N802 -- SQLite's name
        """Refuse to write."""
        self._verdict.refuse("asked to be written")

    def xTruncate(self, newsize: int) -> None:  # noqa: ARG002, N802 -- SQLite's name
        """Refuse to truncate."""
        self._verdict.refuse("asked to be truncated")

    def xSync(self, flags: int) -> None:  # noqa: N802 -- SQLite's name
        """Do nothing: nothing was written."""

    def xFileControl(self, op: int, ptr: int) -> bool:  # noqa: ARG002, N802 -- SQLite's name
        """Support no operation."""
        return False

    def xSectorSize(self) -> int:  # noqa: N802 -- SQLite's name
        """Return SQLite's default."""
        return 4096

    def xDeviceCharacteristics(self) -> int:  # noqa: N802 -- SQLite's name
        """Declare no special properties."""
        return 0

    def _check_in_place(self) -> None:
        try:
            found = os.lstat(self._path)
        except OSError as error:
            self._verdict.fail(error, "disappeared while it was open")
        if (found.st_dev, found.st_ino) != self._identity:
            self._verdict.refuse("was replaced while it was open")
