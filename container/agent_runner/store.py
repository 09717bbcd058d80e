"""The two databases as the runner may use them (contract 2): it reads inbound.db and owns outbound.db.

A caller hands over a plain function of a connection, which runs as one transaction. BUSY is waited for here,
not inside SQLite, so waiting stays cancellable. No transaction stays open across an await, except one whose
COMMIT a reader still refuses.

An error of the system, such as a full disk, says nothing about the data. A write that the system refuses is
repeated until it succeeds, so no result of a provider is lost.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Generic, TypeVar

import apsw
import trio
from attrs import define, field

from agent_runner.errors import (
    DatabaseError,
    DatabaseUnavailableError,
    InboundUnavailableError,
    RunnerError,
    StoreBusyError,
)
from agent_runner.lock import make_writable
from agent_runner.mutex import Mutex
from agent_runner.seams import Executor, Lane

T = TypeVar("T")
Connection = apsw.Connection  # noqa: TID251 -- the runner opens its connections here and nowhere else

LONGEST_WAIT = 5.0
FIRST_PAUSE = 0.001
LONGEST_PAUSE = 0.05
FIRST_REST = 0.1
LONGEST_REST = 1.0
"""Bounds of the pause in seconds before a write that the system refused is repeated."""
_OF_THE_SYSTEM = (apsw.FullError, apsw.IOError, apsw.CantOpenError, apsw.ReadOnlyError, apsw.NoMemError)

Refused = Callable[[str, int], None]
"""Called when the system refuses a write, with the reason and the number of tries so far."""


def is_transient(error: apsw.Error) -> bool:
    """Return True if waiting helps: a lock, or a journal that its owner is about to roll back."""
    hot = getattr(error, "extendedresult", 0) == apsw.SQLITE_READONLY_ROLLBACK
    return hot or isinstance(error, apsw.BusyError | apsw.LockedError)


def is_passing(error: apsw.Error, path: Path) -> bool:
    """Return True if the system refused the call, which may pass. A file that was moved away stays away."""
    moved = getattr(error, "extendedresult", 0) == apsw.SQLITE_READONLY_DBMOVED
    return isinstance(error, _OF_THE_SYSTEM) and not (moved and not _is_hidden(path))


def _is_hidden(path: Path) -> bool:
    """Return True if the system does not say whether the file exists. SQLite then reports it as moved."""
    try:
        path.lstat()
    except OSError as error:
        return not isinstance(error, FileNotFoundError)
    return False


async def retry_while_locked(attempt: Callable[[], Awaitable[T]]) -> T:
    """Repeat `attempt` while its error is transient. Raises the last error 5 s after the first."""
    deadline, pause = None, FIRST_PAUSE
    while True:
        try:
            return await attempt()
        except apsw.Error as error:
            now = trio.current_time()  # not earlier: an error is rare
            deadline = now + LONGEST_WAIT if deadline is None else deadline
            if not is_transient(error) or now + pause > deadline:
                raise
        await trio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


def roll_back(connection: Connection) -> None:
    """Roll back the open transaction, if there is one."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")


@define(eq=False)
class Reader:
    """Reads inbound.db. It is opened at the first read, since the host may create it later."""

    path: Path
    _executor: Executor
    _prepare: Callable[[Connection], None]
    """Called with the connection when it is open."""
    _lock: Mutex = field(factory=Mutex, init=False)
    _connection: Connection | None = field(default=None, init=False)

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Run `query` in one read transaction.

        Raises InboundUnavailableError when the file is missing, stays locked for 5 s, or the system cannot
        serve it now; DatabaseError.
        """
        return await self._run(lambda: self._snapshot(query))

    async def select(self, query: Callable[[Connection], T]) -> T:
        """Run a `query` of a single statement, which is a transaction by itself. Raises as `read`."""
        return await self._run(lambda: query(self._open()))

    async def _run(self, call: Callable[[], T]) -> T:
        async with self._lock:
            try:
                return await retry_while_locked(lambda: self._executor.run(call, lane="read"))
            except apsw.Error as error:
                if is_transient(error) or is_passing(error, self.path):
                    raise InboundUnavailableError(f"{self.path} cannot be read now: {error}") from error
                raise DatabaseError(f"{self.path}: {error}") from error

    def close(self) -> None:
        """Close the connection, if it was ever opened."""
        if self._connection is not None:
            self._connection.close()

    def _snapshot(self, query: Callable[[Connection], T]) -> T:
        connection = self._open()
        connection.execute("BEGIN")
        try:
            return query(connection)
        finally:
            roll_back(connection)

    def _open(self) -> Connection:
        if self._connection is None:
            connection = Connection(
                f"{self.path.absolute().as_uri()}?mode=ro", apsw.SQLITE_OPEN_URI | apsw.SQLITE_OPEN_READONLY
            )
            try:
                connection.set_busy_timeout(0)
                self._prepare(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection


@define(eq=False)
class _Transaction(Generic[T]):
    """BEGIN, the change, COMMIT. After BUSY, `step` is called again."""

    connection: Connection
    path: Path
    executor: Executor
    change: Callable[[Connection], T]
    _result: list[T] = field(factory=list, init=False)

    def step(self) -> T:
        """Run the transaction. After BUSY at COMMIT it stays open, and the next step only commits."""
        if not self._result:
            self._prepare()
        self.connection.execute("COMMIT")
        self.executor.after_commit(self.path)
        return self._result[0]

    def _prepare(self) -> None:
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            result = self.change(self.connection)
            self.executor.before_commit(self.path)
        except BaseException:
            roll_back(self.connection)
            raise
        self._result.append(result)


@define(eq=False)
class Writer:
    """Writes outbound.db. The tasks of a runner share it, and their transactions queue."""

    path: Path
    _connection: Connection
    _executor: Executor
    _refused: Refused
    _lock: Mutex = field(factory=Mutex, init=False)
    broken: bool = field(default=False, init=False)
    """True if a transaction has failed. A later error is then not the provider's failure."""

    async def write(self, change: Callable[[Connection], T]) -> T:
        """Run `change` as one transaction. An exception of it rolls back.

        A cancelled call has committed or changed nothing. While the system cannot serve the file, `change`
        is run again, after a pause of 0.1 to 1 s. Raises StoreBusyError after 5 s, DatabaseError.
        """
        tries, pause = 0, FIRST_REST
        async with self._lock:
            while True:
                tries += 1
                transaction = _Transaction(self._connection, self.path, self._executor, change)
                try:
                    return await self._transact(transaction)
                except DatabaseUnavailableError as error:
                    self._refused(str(error), tries)
                await trio.sleep(pause)
                pause = min(2 * pause, LONGEST_REST)

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Run `query` on what is committed. Raises StoreBusyError after 5 s, DatabaseError."""
        async with self._lock:
            return await self._patiently(lambda: query(self._connection), lane="read")

    async def _transact(self, transaction: _Transaction[T]) -> T:
        try:
            return await self._patiently(transaction.step, lane="commit")
        except DatabaseUnavailableError:
            raise
        except Exception:
            self.broken = True
            raise
        finally:
            roll_back(self._connection)

    async def _patiently(self, call: Callable[[], T], *, lane: Lane) -> T:
        try:
            return await retry_while_locked(lambda: self._executor.run(call, lane=lane))
        except apsw.Error as error:
            raise _explained(self.path, error) from error


@asynccontextmanager
async def open_inbound(
    path: Path, executor: Executor, prepare: Callable[[Connection], None]
) -> AsyncGenerator[Reader]:
    """Open the reader of inbound.db. The file need not exist yet. `prepare` is called once it is open."""
    reader = Reader(path, executor, prepare)
    try:
        yield reader
    finally:
        reader.close()


@asynccontextmanager
async def open_outbound(
    path: Path, executor: Executor, *, create: bool = True, refused: Refused | None = None
) -> AsyncGenerator[Writer]:
    """Open the writer of outbound.db, and roll back a hot journal. The caller must hold the owner lock.

    Raises StoreBusyError, DatabaseError.
    """
    connection = await _opened_outbound(path, executor, create=create)
    try:
        yield Writer(path, connection, executor, refused or (lambda _reason, _tries: None))
    finally:
        roll_back(connection)
        connection.close()


def open_shared(path: Path) -> Connection:
    """Open or create a database in a workspace, which several runners write. Raises apsw.Error."""
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_NOFOLLOW
    connection = Connection(str(path.parent.resolve() / path.name), flags)
    try:
        connection.set_busy_timeout(0)
        for pragma in ("trusted_schema = OFF", "journal_mode = DELETE", "synchronous = EXTRA"):
            connection.execute(f"PRAGMA {pragma}").fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


def open_memory() -> Connection:
    """Open an empty database in memory, for trying a schema."""
    return Connection(":memory:")


async def _opened_outbound(path: Path, executor: Executor, *, create: bool) -> Connection:
    try:
        return await retry_while_locked(lambda: executor.run(lambda: _open_outbound(path, create=create)))
    except apsw.Error as error:
        raise _explained(path, error) from error


def _open_outbound(path: Path, *, create: bool) -> Connection:
    make_writable(path.with_name(f"{path.name}-journal"))
    flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if create else 0)
    connection = Connection(str(path), flags)
    try:
        connection.set_busy_timeout(0)
        _require_writable(connection)
        for pragma in ("journal_mode = DELETE", "synchronous = EXTRA", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}").fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


def _require_writable(connection: Connection) -> None:
    """Refuse a connection that SQLite opened read-only: it may not write the file, or had no descriptor."""
    if connection.readonly("main"):
        raise apsw.ReadOnlyError("it was opened read-only; check its permissions and the disk's mount")


def _explained(path: Path, error: apsw.Error) -> RunnerError:
    if is_transient(error):
        return StoreBusyError(f"{path} was locked for {LONGEST_WAIT:.0f} s")
    return (DatabaseUnavailableError if is_passing(error, path) else DatabaseError)(f"{path}: {error}")
