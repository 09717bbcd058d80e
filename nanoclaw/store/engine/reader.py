"""Readers of trusted databases: read-only connections, and one read transaction for each call."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from functools import partial
from pathlib import Path
from random import Random
from typing import Concatenate, ParamSpec, TypeVar

import apsw
import trio

from nanoclaw.store.engine.connections import open_readonly
from nanoclaw.store.engine.errors import StoreClosed, is_locked, not_text, translating
from nanoclaw.store.engine.executor import Executor, Lane
from nanoclaw.store.engine.mutex import Places
from nanoclaw.store.engine.patience import Patience

T = TypeVar("T")
P = ParamSpec("P")

CONNECTIONS = 2


class Reader:
    """Reads one database. `open_reader` returns it; any number of tasks may share it."""

    def __init__(self, path: Path, executor: Executor, random: Random, lane: Lane = "read") -> None:
        self._path = path
        self._executor = executor
        self._lane: Lane = lane
        self._patience = Patience(path, random)
        self._places = Places(CONNECTIONS)
        self._idle: list[apsw.Connection] = []
        self._open = True

    async def run(
        self, fn: Callable[Concatenate[apsw.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `fn(connection, ...)` in one read transaction, which sees one state of the file.

        `fn` may be called more than once, because a locked file is retried.

        Raises:
            NotAllowed: a text contains a lone surrogate.
            StoreClosed: the reader's scope has ended.
            StoreBusy, HotJournal: the file was locked, or its journal not rolled back, for 5 s.
            StoreError: SQLite reports any other error.
        """
        call = partial(self._read, lambda connection: fn(connection, *args, **kwargs))
        async with self._places:
            if not self._open:
                raise StoreClosed(self._path, "this reader's scope has ended")
            return await self._patience.until_done(lambda: self._executor.run(call, lane=self._lane))

    def _read(self, body: Callable[[apsw.Connection], T]) -> T:
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = open_readonly(self._path)
        try:
            result = in_read_transaction(connection, body)
        except apsw.Error as error:
            if is_locked(error):
                self._idle.append(connection)
            else:
                connection.close(force=True)
            raise
        except BaseException:
            self._idle.append(connection)
            raise
        self._idle.append(connection)
        return result

    async def close(self) -> None:
        """Wait for the current reads and close the connections. `open_reader` calls this."""
        self._open = False
        with trio.CancelScope(shield=True):
            async with AsyncExitStack() as stack:
                for _ in range(CONNECTIONS):
                    await stack.enter_async_context(self._places)
                await self._executor.run(self._disconnect, lane=self._lane)

    def _disconnect(self) -> None:
        while self._idle:
            self._idle.pop().close()


def in_read_transaction(connection: apsw.Connection, body: Callable[[apsw.Connection], T]) -> T:
    """Run `body` in a read transaction. Its end releases all locks."""
    connection.execute("BEGIN")
    try:
        return body(connection)
    except UnicodeEncodeError as error:
        raise not_text(error) from error
    finally:
        if not connection.get_autocommit():
            connection.execute("ROLLBACK")


def read_once(path: Path, fn: Callable[[apsw.Connection], T]) -> T:
    """Open a trusted database, run `fn` in one read transaction, and close it. Blocking: run it in a worker.

    Raises:
        StoreBusy, HotJournal: its writer is active, or died within a transaction. There is no retry.
        StoreError: it cannot be read.
    """
    with translating(path), closing(open_readonly(path)) as connection:
        return in_read_transaction(connection, fn)


@asynccontextmanager
async def open_reader(
    path: Path, executor: Executor, *, random: Random | None = None
) -> AsyncIterator[Reader]:
    """Return a reader of a trusted database. For a session's `outbound.db` use `open_untrusted`.

    Raises:
        CannotOpen: the file is missing or not readable.
        StoreError: it is not a readable database.
    """
    reader = Reader(path, executor, random or Random(str(path)))  # noqa: S311 -- jitter, not a secret
    try:
        await reader.run(lambda connection: connection.execute("SELECT 1 FROM sqlite_schema").get)
        yield reader
    finally:
        await reader.close()
