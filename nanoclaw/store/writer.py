"""The writer: the only way to change a database, one whole transaction at a time."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Concatenate, Never, ParamSpec, TypeVar, final

import apsw
from outcome import Outcome

from nanoclaw.store.executor import Executor
from nanoclaw.store.transactions import Transactions, run_items

T = TypeVar("T")
I = TypeVar("I")  # noqa: E741 -- an item, in the usual letter of a type variable
P = ParamSpec("P")


@final
class Writer:
    """Writes one database. Got from `own_central` or `own_inbound` only, and dead after their scope.

    Several tasks of the same actor may call it; their transactions follow each other.
    """

    __slots__ = ("_transactions",)

    def __init__(self, transactions: Transactions) -> None:
        if not isinstance(transactions, Transactions):
            raise TypeError("a Writer comes from own_central() or own_inbound() only")
        self._transactions = transactions

    def __init_subclass__(cls) -> Never:
        raise TypeError("Writer is final")

    def __reduce__(self) -> Never:
        raise TypeError("a Writer cannot be copied or pickled: a file has one owner")

    def __repr__(self) -> str:
        return f"<Writer of {self.path}{', closed' if self._transactions.closed else ''}>"

    @property
    def path(self) -> Path:
        """The database that it writes."""
        return self._transactions.path

    async def run(
        self, fn: Callable[Concatenate[apsw.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `fn(connection, ...)` as one whole transaction; when this returns, it is on disk.

        `fn` is synchronous and returns plain values. What it raises rolls back and is raised here. Cancelled
        while it waits for a lock, nothing is committed; otherwise the outcome is known.

        Raises:
            NotAllowed: a text has half of a character in it (a lone surrogate).
            StoreClosed: the owner's scope has ended.
            StoreBusy: others held a lock for 5 s.
            StoreError: whatever else SQLite says; nothing is committed.
        """
        return await self._transactions.run(lambda connection: fn(connection, *args, **kwargs))

    async def run_each(self, fn: Callable[[apsw.Connection, I], T], items: Sequence[I]) -> list[Outcome[T]]:
        """Run `fn(connection, item)` for each item, all in one transaction.

        An item that raises is rolled back alone and becomes an `outcome.Error`; the others are committed.

        Raises:
            StoreError: as `run` does; then none of the items is committed.
        """
        return await self._transactions.run(lambda connection: run_items(self.path, connection, fn, items))

    def when_blocked(self, blocked: Callable[[], None]) -> AbstractContextManager[None]:
        """While open, `blocked` is called once for each commit that readers have kept waiting for 2 s.

        It is synchronous and only signals; the commit goes on waiting, for 5 s in all.
        """
        return self._transactions.when_blocked(blocked)

    async def rest(self) -> None:
        """Close the file and give back its memory until the next write; ownership stays."""
        await self._transactions.rest()


@asynccontextmanager
async def writing(
    path: Path, connect: Callable[[], apsw.Connection], executor: Executor, random: Random
) -> AsyncIterator[Writer]:
    """A writer for whoever holds the lock of `path`; `connect` opens a configured connection, in a worker."""
    transactions = Transactions(path, connect, executor, random)
    try:
        yield Writer(transactions)
    finally:
        await transactions.close()
