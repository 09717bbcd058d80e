"""Reads a session's `outbound.db`. A hostile container may have written every byte of it (contract 6)."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import Concatenate, ParamSpec, TypeVar

import apsw
import trio

from nanoclaw.store.engine.errors import (
    StoreClosed,
    StoreError,
    Untrusted,
    is_locked,
    translated,
    translated_os,
)
from nanoclaw.store.engine.executor import Executor
from nanoclaw.store.engine.guard_vfs import Bounds, GuardVFS, Verdict
from nanoclaw.store.engine.mutex import Mutex
from nanoclaw.store.engine.patience import LIMIT_S, Patience
from nanoclaw.store.engine.reader import in_read_transaction

T = TypeVar("T")
P = ParamSpec("P")

STEPS_A_LOOK = 5_000
"""Virtual machine instructions of SQLite between two checks of the deadline. They take less than 1 ms."""

_SETTINGS = (
    (apsw.SQLITE_DBCONFIG_DEFENSIVE, 1),
    (apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0),
    (apsw.SQLITE_DBCONFIG_ENABLE_VIEW, 0),
    (apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0),
    (apsw.SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0),
)
_LIMITS = (
    (apsw.SQLITE_LIMIT_ATTACHED, 0),
    (apsw.SQLITE_LIMIT_COLUMN, 200),
    (apsw.SQLITE_LIMIT_COMPOUND_SELECT, 20),
    (apsw.SQLITE_LIMIT_EXPR_DEPTH, 100),
    (apsw.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1_000),
    (apsw.SQLITE_LIMIT_SQL_LENGTH, 1_000_000),
    (apsw.SQLITE_LIMIT_TRIGGER_DEPTH, 1),
    (apsw.SQLITE_LIMIT_VDBE_OP, 250_000),
    (apsw.SQLITE_LIMIT_WORKER_THREADS, 0),
)
_MODULES = ("json_each",)
"""The only virtual tables that stay available: the host's own queries use them."""

_OF_THE_FILE_OR_SYSTEM = (apsw.CorruptError, apsw.NotADBError, apsw.CantOpenError, apsw.NoMemError)
"""Errors of SQLite about the file or the system. Any other error counts as caused by the file's content."""

_PRAGMAS = (
    "PRAGMA mmap_size = 0",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA cell_size_check = ON",
    "PRAGMA query_only = ON",
)


class UntrustedReader:
    """Reads one untrusted database. `open_untrusted` returns it; the first `run` opens the file.

    After a refusal the next `run` opens the file again, because the container may have repaired it.
    """

    def __init__(self, path: Path, executor: Executor, bounds: Bounds, patience: Patience) -> None:
        self._path = path
        self._executor = executor
        self._verdict = Verdict(bounds)
        self._patience = patience
        self._lock = Mutex()
        self._connection: apsw.Connection | None = None
        self._vfs: GuardVFS | None = None
        self._schema_version: int | None = None
        self._open = True

    async def run(
        self, fn: Callable[Concatenate[apsw.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `fn(connection, ...)` in one read transaction, within the deadline.

        `fn` may be called more than once, because a locked file is retried.

        Raises:
            Untrusted: the host refuses to read the file or a part of it.
            CorruptDatabase: the file is damaged.
            StoreUnavailable: the system cannot serve the file now. That is no verdict on it.
            HotJournal: its writer died within a transaction, and none rolled it back within the waiting time.
            StoreBusy: the file was locked for the whole waiting time.
            StoreClosed: the reader's scope has ended.
        """
        call = partial(self._read, lambda connection: fn(connection, *args, **kwargs))
        async with self._lock:
            if not self._open:
                raise StoreClosed(self._path, "this reader's scope has ended")
            return await self._patience.until_done(lambda: self._executor.run(call, lane="untrusted"))

    async def reopen(self) -> None:
        """Close the file. The next `run` opens the file that is there then."""
        async with self._lock:
            await self._executor.run(self._disconnect, lane="untrusted")

    async def close(self) -> None:
        """Wait for the current read, then close the file for good. `open_untrusted` calls this."""
        with trio.CancelScope(shield=True):
            async with self._lock:
                self._open = False
                await self._executor.run(self._disconnect, lane="untrusted")

    # -- in the worker ---------------------------------------------------------

    def _read(self, body: Callable[[apsw.Connection], T]) -> T:
        self._verdict.begin()
        try:
            return in_read_transaction(self._live(), partial(self._checked, body))
        except (apsw.Error, UnicodeDecodeError, OSError) as error:
            if self._verdict.reason is None and is_locked(error):
                raise
            self._disconnect()
            raise self._judged(error) from error

    def _checked(self, body: Callable[[apsw.Connection], T], connection: apsw.Connection) -> T:
        version = connection.execute("PRAGMA schema_version").get
        if version != self._schema_version:
            _check_schema(connection, self._verdict)
            self._schema_version = version
        return body(connection)

    def _judged(self, error: apsw.Error | UnicodeDecodeError | OSError) -> StoreError:
        """Return the verdict on the file, or the error of the system that prevented one."""
        if self._verdict.reason is not None:
            return Untrusted(self._path, self._verdict.reason)
        failure = error if isinstance(error, OSError) else self._verdict.failure
        if failure is not None:
            return translated_os(failure, self._path)
        if isinstance(error, _OF_THE_FILE_OR_SYSTEM):
            return translated(error, self._path)
        return Untrusted(self._path, f"caused the error {str(error)[:200]!r}")

    def _live(self) -> apsw.Connection:
        if self._connection is None:
            self._vfs = GuardVFS(self._path, self._verdict)
            flags = apsw.SQLITE_OPEN_READONLY
            self._connection = apsw.Connection(str(self._path), flags=flags, vfs=self._vfs.vfs_name)
            _confine(self._connection, self._verdict)
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        self._vfs = None
        self._schema_version = None
        if connection is not None:
            connection.close(force=True)


def _confine(connection: apsw.Connection, verdict: Verdict) -> None:
    for option, value in _SETTINGS:
        connection.config(option, value)
    for limit, value in (*_LIMITS, (apsw.SQLITE_LIMIT_LENGTH, verdict.bounds.row_bytes)):
        connection.limit(limit, value)
    connection.drop_modules(_MODULES)
    connection.set_progress_handler(verdict.is_late, STEPS_A_LOOK)
    for pragma in _PRAGMAS:
        connection.execute(pragma).fetchall()


def _check_schema(connection: apsw.Connection, verdict: Verdict) -> None:
    """Refuse views, virtual tables and computed columns.

    Reading them runs code of the container. A single LIKE can run for years, and no deadline interrupts it.
    """
    computing = connection.execute(
        """
        SELECT iif(type = 'view', 'view', 'virtual table'), name FROM sqlite_schema
        WHERE type IN ('table', 'view') AND rootpage = 0
        UNION ALL
        SELECT 'computed column', l.name || '.' || c.name
        FROM pragma_table_list AS l, pragma_table_xinfo(l.name) AS c
        WHERE l.schema = 'main' AND c.hidden <> 0
        """
    )
    for kind, name in computing:
        verdict.refuse(f"has the {kind} {str(name)[:80]!r}")


@asynccontextmanager
async def open_untrusted(  # noqa: PLR0913 -- bounds, by name
    path: Path,
    executor: Executor,
    *,
    deadline_s: float = 1.0,
    max_bytes: int = 1 << 30,
    max_row_bytes: int = 48 << 20,
    patience_s: float = LIMIT_S,
    random: Random | None = None,
) -> AsyncIterator[UntrustedReader]:
    """Return a reader of a file that a container writes. The first `run` opens the file.

    `deadline_s` limits the processor time of a transaction. `patience_s` limits the wait for the writer's
    lock.
    """
    bounds = Bounds(max_bytes, max_row_bytes, deadline_s)
    jitter = random or Random(str(path))  # noqa: S311 -- jitter, not a secret
    reader = UntrustedReader(path, executor, bounds, Patience(path, jitter, patience_s))
    try:
        yield reader
    finally:
        await reader.close()
