"""Errors of the store. Each message names the file or row and says what to do."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import apsw

from actors import Refusal
from nanoclaw.system.obstacles import Obstacle, advice, kind_of, obstacle_at, printable


class StoreError(Refusal):
    """A failure of the database at `path`.

    It is a `Refusal`: if a handler raises it, the actor passes it to the asker and keeps running.
    """

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(f"{printable(path)}: {message}")
        self.path = path


class Owned(StoreError):
    """Another owner holds the lock. `pid` is the owner's process id, if known."""

    def __init__(self, path: Path, pid: int | None) -> None:
        self.pid = pid
        super().__init__(path, f"{self.holder} owns it; stop that process, or use another data directory")

    @property
    def holder(self) -> str:
        """Return words for the owner."""
        return f"process {self.pid}" if self.pid is not None else "another process"


class OwnershipLost(Exception):
    """The lock file of an owner was deleted or replaced, so another process may own the database now.

    It is no `Refusal`: the owner's actor crashes, and nothing more is committed.
    """

    def __init__(self, lock: Path) -> None:
        super().__init__(
            f"{printable(lock)}: this lock file was deleted or replaced while it was held, so another "
            "process may own the directory now; stop that process, and start this one again"
        )


class StoreBusy(StoreError):
    """The file stayed locked for the whole waiting time."""


class StoreUnavailable(StoreError):
    """The system cannot serve the file now. That says nothing about its content. Retry with back-off.

    Its descriptors or memory are exhausted, the disk is full or failing, or a permission is missing.
    """


class Exhausted(StoreUnavailable):
    """The descriptors or the memory of the process or the system are exhausted."""


class ReadOnlyStore(StoreUnavailable):
    """The file, its folder or its disk does not let this process read or write it."""


class StoreFull(StoreUnavailable):
    """The disk is full."""


class StoreClosed(StoreError):
    """A writer or reader was used after its scope had ended."""


class CannotOpen(StoreError):
    """The file is missing, not a regular file, or a symbolic link."""


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
    (apsw.NotADBError, CorruptDatabase, "is not a SQLite database; {mend}"),
    (apsw.CorruptError, CorruptDatabase, "is damaged; {mend}"),
    (apsw.TooBigError, TooBig, "a value is too big for one row; store it as a file"),
    (apsw.ConstraintError, Conflict, "the change conflicts with the stored rows"),
    (apsw.ConnectionClosedError, StoreClosed, "the connection is closed"),
)


_BY_OBSTACLE: Mapping[Obstacle, type[StoreError]] = {
    Obstacle.MISSING: CannotOpen,
    Obstacle.LINK: CannotOpen,
    Obstacle.IRREGULAR: CannotOpen,
    Obstacle.EXHAUSTED: Exhausted,
    Obstacle.DENIED: ReadOnlyStore,
    Obstacle.FULL: StoreFull,
    Obstacle.FAILING: StoreUnavailable,
}


def is_locked(error: Exception) -> bool:
    """Return whether the error is a lock, or a journal that its writer may still remove."""
    return isinstance(error, apsw.BusyError) or _extended(error) == apsw.SQLITE_READONLY_ROLLBACK


def translated(error: apsw.Error, path: Path) -> StoreError:
    """Return the store error for SQLite's `error` about `path`."""
    if _extended(error) == apsw.SQLITE_READONLY_ROLLBACK:
        return HotJournal(path, "its writer died within a transaction; start the writer to roll it back")
    for theirs, ours, words in _SIMPLE:
        if isinstance(error, theirs):
            return ours(path, f"{words.replace('{mend}', _mend(path))} ({error})")
    if isinstance(error, _OF_THE_SYSTEM):
        return _unavailable(error, path)
    return StoreError(path, f"SQLite failed, and the transaction was rolled back ({error})")


def _mend(path: Path) -> str:
    if path.name not in {"inbound.db", "outbound.db"}:
        return f"restore {path.parent} from a backup, {path.name} with its -wal, -shm and -journal"
    # Restoring or removing one of the two files alone would repeat sent messages, or lose stored ones.
    session = path.parents[1]
    return f"restore the whole folder {session} from a backup, or move it away and start a new session"


_OF_THE_SYSTEM = (apsw.CantOpenError, apsw.ReadOnlyError, apsw.IOError, apsw.FullError, apsw.NoMemError)


def _unavailable(error: apsw.Error, path: Path) -> StoreError:
    """Return the error for one of `_OF_THE_SYSTEM`. SQLite does not say what the system refused."""
    kind, why = obstacle_at(path)  # EXHAUSTED if it finds no obstacle now
    match error:
        case apsw.FullError():
            kind, why = Obstacle.FULL, advice(Obstacle.FULL, path)
        case apsw.NoMemError():
            kind, why = Obstacle.EXHAUSTED, advice(Obstacle.EXHAUSTED, path)
        case apsw.ReadOnlyError() if kind in {Obstacle.EXHAUSTED, Obstacle.FULL}:  # neither causes this error
            kind, why = Obstacle.DENIED, "cannot be written; check its permissions and the disk's mount"
        case apsw.IOError() if kind is Obstacle.EXHAUSTED:  # the file is open already
            kind, why = Obstacle.FAILING, advice(Obstacle.FAILING, path)
    return _BY_OBSTACLE[kind](path, f"{why} ({error})")


def translated_os(error: OSError, path: Path) -> StoreError:
    """Return the store error for the operating system's `error` about `path`."""
    kind = kind_of(error)
    return _BY_OBSTACLE[kind](path, advice(kind, path, error.strerror or str(error)))


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


def _extended(error: Exception) -> int:
    code: int = getattr(error, "extendedresult", 0)
    return code
