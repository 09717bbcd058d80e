"""Readers: connections that can never write, each call one read transaction."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from functools import partial
from pathlib import Path
from random import Random
from typing import Concatenate, ParamSpec, TypeVar

import apsw
import trio

from nanoclaw.store.connections import open_readonly
from nanoclaw.store.errors import StoreClosed, not_text, translating
from nanoclaw.store.executor import Executor, Lane
from nanoclaw.store.mutex import Places
from nanoclaw.store.patience import Patience

T = TypeVar("T")
P = ParamSpec("P")

CONNECTIONS = 2


class Reader:
    """Reads one database; any number of tasks may share it. Got from `open_reader`."""

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
        """Run `fn(connection, ...)` in one read transaction: it sees one state of the file.

        A locked file is waited for, so `fn` may be called more than once.

        Raises:
            NotAllowed: a text has half of a character in it (a lone surrogate).
            StoreClosed: the reader's scope has ended.
            StoreBusy, HotJournal: the file was locked, or waited for its writer to roll back, for 5 s.
            StoreError: whatever else SQLite says.
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
            return in_read_transaction(connection, body)
        finally:
            self._idle.append(connection)

    async def close(self) -> None:
        """Wait for the reads under way and close the connections; `open_reader` does it."""
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
    """Run `body` between BEGIN and the end of the transaction, which leaves no lock behind."""
    connection.execute("BEGIN")
    try:
        return body(connection)
    except UnicodeEncodeError as error:
        raise not_text(error) from error
    finally:
        if not connection.get_autocommit():
            connection.execute("ROLLBACK")


def read_once(path: Path, fn: Callable[[apsw.Connection], T]) -> T:
    """Open a trusted database, run `fn` in one read transaction, close it; blocking, so in a worker.

    Raises:
        StoreBusy, HotJournal: its writer is at work, or died at it; nothing is waited for.
        StoreError: it cannot be read.
    """
    with translating(path), closing(open_readonly(path)) as connection:
        return in_read_transaction(connection, fn)


@asynccontextmanager
async def open_reader(
    path: Path, executor: Executor, *, random: Random | None = None
) -> AsyncIterator[Reader]:
    """A reader of a trusted database (not of a session's outbound file: that is `open_untrusted`).

    Raises:
        CannotOpen: there is no such file, or it may not be read.
        StoreError: it is no readable database.
    """
    reader = Reader(path, executor, random or Random(str(path)))  # noqa: S311 -- jitter, not a secret
    try:
        await reader.run(lambda connection: connection.execute("SELECT 1 FROM sqlite_schema").get)
        yield reader
    finally:
        await reader.close()
