"""What can go wrong with a database, as few errors, each of which names its file and what to do."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from actors import Refusal


class StoreError(Refusal):
    """Something is wrong with the database at `path`.

    A refusal: an actor whose handler raises one hands it to the asker and lives on.
    """

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path


class Owned(StoreError):
    """Another owner, in this process or in another, holds the lock; `pid` names it where it is known."""

    def __init__(self, path: Path, pid: int | None) -> None:
        holder = f"process {pid}" if pid is not None else "another process"
        super().__init__(path, f"{holder} owns it; stop that one first, or use another data directory")
        self.pid = pid


class StoreBusy(StoreError):
    """Others held a lock on the file for all of the time one waits for it."""


class StoreClosed(StoreError):
    """A writer or reader was used after its scope had ended."""


class CannotOpen(StoreError):
    """The file is not there, or its permissions keep us out."""


class ForeignDatabase(StoreError):
    """The file is not NanoClaw's: it is no database, or another program's."""


class NewerDatabase(StoreError):
    """A newer NanoClaw has migrated the file; this one does not know what to do with it."""


class CorruptDatabase(StoreError):
    """The file is damaged."""


class ReadOnlyStore(StoreError):
    """The file or its disk cannot be written."""


class StoreFull(StoreError):
    """The disk is full."""


class TooBig(StoreError):
    """A value or a row exceeds what SQLite can hold (about 1 GB), or what may be read from a hostile file."""


class Conflict(StoreError):
    """A constraint of the schema forbids the change: a name is taken, or something refers to the row."""


class HotJournal(StoreError):
    """A writer died within a transaction and nobody has rolled it back; a reader cannot."""


class Untrusted(StoreError):
    """A file that a container can write is not one that the host will read; `reason` says why."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, f"not read, because it {reason}")
        self.reason = reason


class Refused(Refusal):
    """The rows that there are forbid what was asked; the text says what and what to do. Not about a file."""


class NotFound(Refused):
    """What was named does not exist."""


class StillReferenced(Refused):
    """Others refer to what was to be deleted; the text names them."""


class NotAllowed(Refused):
    """The contract forbids a value, or a change of what it is now."""


_SIMPLE: tuple[tuple[type[apsw.Error], type[StoreError], str], ...] = (
    (apsw.BusyError, StoreBusy, "another process keeps it locked; see who has it open"),
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
    (apsw.ConstraintError, Conflict, "the change conflicts with what is stored"),
    (apsw.ConnectionClosedError, StoreClosed, "is closed"),
)


def is_waitable(error: apsw.Error) -> bool:
    """True for what passes by itself: somebody's lock, or a journal that its writer is about to remove."""
    return isinstance(error, apsw.BusyError) or _extended(error) == apsw.SQLITE_READONLY_ROLLBACK


def translated(error: apsw.Error, path: Path) -> StoreError:
    """The error of ours that says what SQLite's `error` about `path` means."""
    if _extended(error) == apsw.SQLITE_READONLY_ROLLBACK:
        return HotJournal(path, "its writer died within a transaction and must be started to roll it back")
    for theirs, ours, advice in _SIMPLE:
        if isinstance(error, theirs):
            return ours(path, f"{advice.replace('{mend}', _mend(path))} ({error})")
    return StoreError(path, f"SQLite failed ({error}); the transaction was rolled back")


def _mend(path: Path) -> str:
    if path.name not in {"inbound.db", "outbound.db"}:
        return "restore it from a backup"
    # Both files or none: one alone would repeat what was sent, or forget what was said.
    return f"restore it from a backup, or move {path.parents[1]} away and begin anew"


def translated_os(error: OSError, path: Path) -> StoreError:
    """The error of ours that says what the operating system's `error` about `path` means."""
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return ReadOnlyStore(path, f"cannot be written; check its permissions and the disk's mount ({error})")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreFull(path, f"the disk is full; free some space ({error})")
    if isinstance(error, NotADirectoryError | FileExistsError):
        return CannotOpen(path, f"a file is where a directory has to be; move it away ({error})")
    return CannotOpen(path, f"cannot be opened ({error})")


@contextmanager
def translating(path: Path) -> Iterator[None]:
    """Turn what SQLite and the operating system raise about `path` inside into our errors."""
    try:
        yield
    except apsw.Error as error:
        raise translated(error, path) from error
    except OSError as error:
        raise translated_os(error, path) from error


def not_text(error: UnicodeEncodeError) -> NotAllowed:
    """The error of ours for a text with half of a character in it: SQLite stores no such thing."""
    return NotAllowed(f"{error.object!r} is no text that a database takes: {error.reason}")


def _extended(error: apsw.Error) -> int:
    code: int = getattr(error, "extendedresult", 0)
    return code
