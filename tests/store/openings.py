"""What the store's tests open databases with: virtual time, no threads, a clock that stands still."""

import shutil
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import apsw
import trio
from attrs import define

from nanoclaw.records import SessionPaths
from nanoclaw.store import Executor, Writer, own_central, own_inbound
from nanoclaw.testing.world.executor import InlineExecutor, When

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


class StillClock:
    """Always the same moment."""

    def now(self) -> datetime:
        return NOW

    async def jumped(self) -> None:
        await trio.sleep_forever()


class Killed(BaseException):
    """The process died here."""


@define
class KillAt:
    """Dies at the n-th commit, before or after it."""

    when: When
    n: int

    def __call__(self, path: Path, when: When, n: int) -> None:
        if (when, n) == (self.when, self.n):
            raise Killed(str(path))


def central(data: Path, executor: Executor | None = None) -> AbstractAsyncContextManager[Writer]:
    return own_central(data, executor=executor or InlineExecutor(), clock=StillClock(), random=Random(1))


def inbound(
    paths: SessionPaths, executor: Executor | None = None, owner: tuple[int, int] | None = None
) -> AbstractAsyncContextManager[Writer]:
    seams = (executor or InlineExecutor(), StillClock(), Random(1))
    return own_inbound(paths, executor=seams[0], clock=seams[1], random=seams[2], owner=owner)


def paths_in(directory: Path) -> SessionPaths:
    return SessionPaths.of(directory / "data", "ag-1", "sess-1")


@asynccontextmanager
async def a_session(directory: Path, executor: Executor | None = None) -> AsyncIterator[Writer]:
    async with inbound(paths_in(directory), executor) as writer:
        yield writer


def put(connection: apsw.Connection, key: str, value: str = "x") -> None:
    connection.execute("INSERT INTO meta (key, value) VALUES (?, ?)", (key, value))


def keys(connection: apsw.Connection) -> list[str]:
    return [str(key) for (key,) in connection.execute("SELECT key FROM meta ORDER BY key")]


def on_disk(path: Path) -> list[str]:
    """The keys of `meta` as a stranger sees them."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return keys(connection)
    finally:
        connection.close()


def leave_hot_journal(path: Path) -> None:
    """Make `path` look as if its writer had died within a transaction that had begun to write pages."""
    copy = path.with_suffix(".dying")
    shutil.copy(path, copy)
    connection = apsw.Connection(str(copy))
    connection.execute("PRAGMA cache_size = 1").fetchall()
    connection.execute("BEGIN IMMEDIATE")
    for n in range(50):
        connection.execute("INSERT INTO meta (key, value) VALUES (?, ?)", (f"half-{n}", "x" * 3000))
    journal = Path(f"{copy}-journal")
    assert journal.stat().st_size > 0
    shutil.copy(journal, f"{path}-journal")
    shutil.copy(copy, path)
    connection.close(force=True)
    copy.unlink()
