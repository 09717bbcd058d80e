"""The writer of a database. Each change is one whole transaction."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Concatenate, Never, ParamSpec, TypeVar, final

import apsw
from outcome import Outcome

from nanoclaw.store.engine.executor import Executor
from nanoclaw.store.engine.transactions import Transactions, run_items

T = TypeVar("T")
I = TypeVar("I")  # noqa: E741 -- an item, in the usual letter of a type variable
P = ParamSpec("P")


@final
class Writer:
    """Writes one database. `own_central` and `own_inbound` create it; it is closed after their scope.

    Several tasks of one actor may share it. Their transactions run one after the other.
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
        """Return the path of the database."""
        return self._transactions.path

    async def run(
        self, fn: Callable[Concatenate[apsw.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `fn(connection, ...)` as one whole transaction. When this returns, it is on disk.

        `fn` is synchronous and returns plain values. Its exception rolls the transaction back and is raised.
        If the call is cancelled while it waits for a lock, nothing is committed. Otherwise it finishes, so
        the outcome is known.

        Raises:
            NotAllowed: a text contains a lone surrogate.
            StoreClosed: the owner's scope has ended.
            StoreBusy: others held a lock for 5 s.
            StoreError: SQLite reports any other error. Nothing is committed.
            OwnershipLost: the lock file was deleted or replaced. Nothing is committed.
        """
        return await self._transactions.run(lambda connection: fn(connection, *args, **kwargs))

    async def run_each(self, fn: Callable[[apsw.Connection, I], T], items: Sequence[I]) -> list[Outcome[T]]:
        """Run `fn(connection, item)` for each item, all in one transaction.

        If an item raises, only its changes are rolled back, and its result is an `outcome.Error`. The other
        items are committed.

        Raises:
            StoreError: see `run`. None of the items is committed.
        """
        return await self._transactions.run(lambda connection: run_items(self.path, connection, fn, items))

    def when_blocked(self, blocked: Callable[[], None]) -> AbstractContextManager[None]:
        """Call `blocked` once for each transaction that locks delay by 2 s, while the context is open.

        `blocked` is synchronous and only signals. The transaction goes on waiting, for 5 s in total.
        """
        return self._transactions.when_blocked(blocked)

    def when_committed(self, committed: Callable[[apsw.Connection], None]) -> AbstractContextManager[None]:
        """Call `committed(connection)` in the worker after each commit, while the context is open.

        It must not raise and must not write to the database.
        """
        return self._transactions.when_committed(committed)

    async def check_owner(self) -> None:
        """Check that the lock file is still there, as each commit does.

        Raises:
            OwnershipLost: it was deleted or replaced.
        """
        await self._transactions.check_owner()

    async def rest(self) -> None:
        """Close the file and free its memory until the next write. Ownership stays."""
        await self._transactions.rest()


@asynccontextmanager
async def writing(
    path: Path,
    connect: Callable[[], apsw.Connection],
    executor: Executor,
    random: Random,
    check_owner: Callable[[], None],
) -> AsyncIterator[Writer]:
    """Return a writer for the owner of `path`.

    In a worker, `connect` opens a configured connection, and `check_owner` raises if the lock is lost.
    """
    transactions = Transactions(path, connect, executor, random, check_owner)
    try:
        yield Writer(transactions)
    finally:
        await transactions.close()
