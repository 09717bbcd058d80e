"""Write transactions on one connection, from BEGIN IMMEDIATE to a known outcome. `Writer` uses them."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import Generic, TypeVar

import apsw
import trio
from attrs import frozen
from outcome import Error, Outcome, Value

from nanoclaw.store.engine.errors import (
    Exhausted,
    StoreClosed,
    StoreError,
    StoreUnavailable,
    is_locked,
    not_text,
    translated,
)
from nanoclaw.store.engine.executor import Executor
from nanoclaw.store.engine.mutex import Mutex
from nanoclaw.store.engine.patience import Patience

T = TypeVar("T")
I = TypeVar("I")  # noqa: E741 -- an item, in the usual letter of a type variable
Body = Callable[[apsw.Connection], T]


@frozen
class _Attempt(Generic[T]):
    """A transaction whose body has run. `committed` is False if readers have blocked the commit so far."""

    value: T
    committed: bool


class Transactions:
    """Runs write transactions on `path`, one at a time, and repairs the connection between them."""

    def __init__(
        self,
        path: Path,
        connect: Callable[[], apsw.Connection],
        executor: Executor,
        random: Random,
        check_owner: Callable[[], None],
    ) -> None:
        self.path = path
        self.closed = False
        self._connect = connect
        self._check_owner = check_owner
        self._connection: apsw.Connection | None = None
        self._executor = executor
        self._patience = Patience(path, random)
        self._lock = Mutex()
        self._blocked: dict[object, Callable[[], None]] = {}
        self._committed: dict[object, Callable[[apsw.Connection], None]] = {}

    def when_blocked(self, blocked: Callable[[], None]) -> AbstractContextManager[None]:
        """Call `blocked` when readers delay a commit; see `Writer.when_blocked`."""
        return _registered(self._blocked, blocked)

    def when_committed(self, committed: Callable[[apsw.Connection], None]) -> AbstractContextManager[None]:
        """Call `committed` after each commit; see `Writer.when_committed`."""
        return _registered(self._committed, committed)

    async def run(self, body: Body[T]) -> T:
        """Commit all changes of `body` or none; see `Writer.run`."""
        async with self._lock:
            if self.closed:
                raise StoreClosed(self.path, "its owner has released it")
            begin = partial(self._begin, body)
            # A lock on the byte that reserves the file needs no more than reading it.
            attempt = await self._patience.until_done(lambda: self._in_worker(begin), self._tell_blocked)
            if not attempt.committed:
                await self._wait_and_commit()
            return attempt.value

    async def check_owner(self) -> None:
        """Raise `OwnershipLost` if the lock file is gone; see `Writer.check_owner`."""
        await self._in_worker(self._check_owner)

    async def rest(self) -> None:
        """Close the connection until the next call."""
        async with self._lock:
            await self._in_worker(self._disconnect)

    async def close(self) -> None:
        """Wait for the current transaction and close the connection. Later calls raise `StoreClosed`."""
        with trio.CancelScope(shield=True):
            async with self._lock:
                self.closed = True
                await self._in_worker(self._disconnect)

    async def _wait_and_commit(self) -> None:
        # The transaction stays open. Its PENDING lock blocks new readers, so the old ones finish.
        try:
            await self._patience.until_done(lambda: self._in_worker(self._commit_again), self._tell_blocked)
        except BaseException:
            with trio.CancelScope(shield=True):
                await self._in_worker(self._roll_back)
            raise

    def _tell_blocked(self) -> None:
        for blocked in list(self._blocked.values()):
            blocked()

    async def _in_worker(self, call: Callable[[], T]) -> T:
        return await self._executor.run(call, lane="write")

    # -- in the worker ---------------------------------------------------------

    def _begin(self, body: Body[T]) -> _Attempt[T]:
        try:
            return self._begun(body)
        except (apsw.Error, StoreUnavailable) as error:
            if not is_locked(error):
                # SQLite may have opened it read-only, because descriptors were exhausted.
                self._disconnect()
            raise

    def _begun(self, body: Body[T]) -> _Attempt[T]:
        if self._connection is None:
            self._connection = self._connect()
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            value = run_body(self.path, connection, body)
            self._executor.before_commit(self.path)
        except BaseException:
            self._roll_back()
            raise
        return _Attempt(value, committed=self._try_commit())

    def _try_commit(self) -> bool:
        try:
            self._commit()
        except apsw.BusyError:
            return False
        return True

    def _commit_again(self) -> None:
        try:
            self._commit()
        except Exhausted as error:  # the transaction is gone, so another COMMIT would not help
            raise StoreUnavailable(
                self.path, "its commit was rolled back: descriptors are exhausted"
            ) from error

    def _commit(self) -> None:
        assert self._connection is not None, "a transaction is open"  # noqa: S101 -- for the type checker
        try:
            self._check_owner()
            self._connection.execute("COMMIT")
        except apsw.BusyError:
            raise
        except apsw.Error as error:
            self._roll_back()
            raise translated(error, self.path) from error
        except BaseException:
            self._roll_back()
            raise
        for committed in self._committed.values():
            committed(self._connection)
        self._executor.after_commit(self.path)

    def _roll_back(self) -> None:
        """End the open transaction, if necessary by closing the connection."""
        try:
            if self._connection is not None and not self._connection.get_autocommit():
                self._connection.execute("ROLLBACK")
        except apsw.Error:
            self._disconnect()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close(force=True)


@contextmanager
def _registered(callbacks: dict[object, T], callback: T) -> Iterator[None]:
    """Keep a callback among the others while the context is open."""
    token = object()
    callbacks[token] = callback
    try:
        yield
    finally:
        del callbacks[token]


def run_body(path: Path, connection: apsw.Connection, body: Body[T]) -> T:
    """Return the result of `body`. It must be a plain value, and the transaction must still be open."""
    try:
        value = body(connection)
    except apsw.Error as error:
        # BUSY after BEGIN IMMEDIATE is a bug in the body, and waiting would not help.
        raise translated(error, path) from error
    except UnicodeEncodeError as error:
        raise not_text(error) from error
    if isinstance(value, Awaitable | apsw.Cursor):
        raise TypeError(f"a transaction returned {value!r}, which would run after the commit; return a value")
    if connection.get_autocommit():
        raise StoreError(path, "the function ended the transaction itself; leave COMMIT to the writer")
    return value


def run_items(
    path: Path, connection: apsw.Connection, fn: Callable[[apsw.Connection, I], T], items: Sequence[I]
) -> list[Outcome[T]]:
    """Run `fn` for each item, each in a SAVEPOINT of its own."""
    return [_run_item(path, connection, partial(_with_item, fn, item)) for item in items]


def _with_item(fn: Callable[[apsw.Connection, I], T], item: I, connection: apsw.Connection) -> T:
    return fn(connection, item)


def _run_item(path: Path, connection: apsw.Connection, body: Body[T]) -> Outcome[T]:
    connection.execute("SAVEPOINT item")
    outcome: Outcome[T]
    try:
        outcome = Value(run_body(path, connection, body))
    except Exception as error:
        # A failing item must not affect the others: its error goes to its own caller.
        if connection.get_autocommit() or isinstance(error, StoreUnavailable):
            raise  # the disk is full or failing, or the journal cannot be opened: that concerns all items
        connection.execute("ROLLBACK TO item")
        outcome = Error(error)
    connection.execute("RELEASE item")
    return outcome
