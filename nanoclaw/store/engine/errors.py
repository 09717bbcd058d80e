"""Errors of the store. Each message names the file or row and says what to do."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from actors import Refusal


class StoreError(Refusal):
    """A failure of the database at `path`.

    It is a `Refusal`: if a handler raises it, the actor passes it to the asker and keeps running.
    """

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path


class Owned(StoreError):
    """Another owner holds the lock. `pid` is the owner's process id, if known."""

    def __init__(self, path: Path, pid: int | None) -> None:
        holder = f"process {pid}" if pid is not None else "another process"
        super().__init__(path, f"{holder} owns it; stop that process, or use another data directory")
        self.pid = pid


class StoreBusy(StoreError):
    """The file stayed locked for the whole waiting time."""


class StoreClosed(StoreError):
    """A writer or reader was used after its scope had ended."""


class CannotOpen(StoreError):
    """The file is missing, not a regular file, or not readable by this process."""


class ForeignDatabase(StoreError):
    """The file is not a SQLite database, or belongs to another program."""


class NewerDatabase(StoreError):
    """A newer NanoClaw migrated the file, so this one cannot use it."""


class CorruptDatabase(StoreError):
    """The file is damaged."""


class LostDatabase(StoreError):
    """The central database is missing or empty beside sessions, so a new one would forget them."""


class StaleSidecar(StoreError):
    """A `-wal` or `-journal` beside the file belongs to another state of it, so SQLite must not apply it."""


class ReadOnlyStore(StoreError):
    """The file or its disk is not writable."""


class StoreFull(StoreError):
    """The disk is full."""


class TooBig(StoreError):
    """A value or row exceeds SQLite's limit (about 1 GB), or the limit for a hostile file."""


class Conflict(StoreError):
    """The change violates a constraint of the schema: for example, a name is taken."""


class HotJournal(StoreError):
    """A writer died within a transaction, and no writer has rolled it back yet. A reader cannot."""


class Untrusted(StoreError):
    """The host refuses to read a file that a container can write; `reason` says why."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, f"not read because it {reason}")
        self.reason = reason


class OperationRefused(Refusal):
    """The stored rows do not allow the operation. The text says why and what to do."""


class NotFound(OperationRefused):
    """The named row does not exist."""


class StillReferenced(OperationRefused):
    """Other rows refer to the row that was to be deleted. The text names them."""


class NotAllowed(OperationRefused):
    """The contract forbids a value or a change."""


_SIMPLE: tuple[tuple[type[apsw.Error], type[StoreError], str], ...] = (
    (apsw.BusyError, StoreBusy, "another process keeps it locked; find out which one has it open"),
    (
        apsw.NotADBError,
        CorruptDatabase,
        "is not a SQLite database; {mend}",
    ),
    (apsw.CorruptError, CorruptDatabase, "is damaged; {mend}"),
    (apsw.FullError, StoreFull, "the disk is full; free some space"),
    (apsw.ReadOnlyError, ReadOnlyStore, "cannot be written; check its permissions and the disk's mount"),
    (apsw.CantOpenError, CannotOpen, "cannot be opened; check that it exists and its permissions"),
    (apsw.TooBigError, TooBig, "a value is too big for one row; store it as a file"),
    (apsw.ConstraintError, Conflict, "the change conflicts with the stored rows"),
    (apsw.ConnectionClosedError, StoreClosed, "the connection is closed"),
)


def is_waitable(error: apsw.Error) -> bool:
    """Return whether waiting may resolve the error: a lock, or a journal that its writer may still remove."""
    return isinstance(error, apsw.BusyError) or _extended(error) == apsw.SQLITE_READONLY_ROLLBACK


def translated(error: apsw.Error, path: Path) -> StoreError:
    """Return the store error for SQLite's `error` about `path`."""
    if _extended(error) == apsw.SQLITE_READONLY_ROLLBACK:
        return HotJournal(path, "its writer died within a transaction; start the writer to roll it back")
    for theirs, ours, advice in _SIMPLE:
        if isinstance(error, theirs):
            return ours(path, f"{advice.replace('{mend}', _mend(path))} ({error})")
    if isinstance(error, apsw.IOError):
        return StoreError(
            path, f"cannot be read or written; the disk may be full or faulty; check it ({error})"
        )
    return StoreError(path, f"SQLite failed, and the transaction was rolled back ({error})")


def _mend(path: Path) -> str:
    if path.name not in {"inbound.db", "outbound.db"}:
        return f"restore {path.parent} from a backup, {path.name} with its -wal, -shm and -journal"
    # Restoring or removing one of the two files alone would repeat sent messages, or lose stored ones.
    session = path.parents[1]
    return f"restore the whole folder {session} from a backup, or move it away and start a new session"


def translated_os(error: OSError, path: Path) -> StoreError:
    """Return the store error for the operating system's `error` about `path`."""
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return ReadOnlyStore(
            path, f"cannot be written; check its permissions and the disk's mount ({error.strerror or error})"
        )
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreFull(path, f"the disk is full; free some space ({error})")
    if isinstance(error, NotADirectoryError | FileExistsError):
        return CannotOpen(path, f"a file has the name of a needed directory; move it away ({error})")
    return CannotOpen(path, f"cannot be opened ({error})")


@contextmanager
def translating(path: Path) -> Iterator[None]:
    """Raise errors of SQLite and the operating system as store errors about `path`."""
    try:
        yield
    except apsw.Error as error:
        raise translated(error, path) from error
    except OSError as error:
        raise translated_os(error, path) from error


def not_text(error: UnicodeEncodeError) -> NotAllowed:
    """Return the error for a text with a lone surrogate, which SQLite cannot store."""
    return NotAllowed(f"{error.object!r} is not valid text: {error.reason}; remove that character")


def _extended(error: apsw.Error) -> int:
    code: int = getattr(error, "extendedresult", 0)
    return code
