"""Homes for hosts under test: a configuration that retries at once, and how to reach an actor to kill it."""

import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import trio
from trio.testing import wait_all_tasks_blocked

from actors import Supervisor
from nanoclaw.config import Config, config_of, flat
from nanoclaw.config.costs import NO_BUDGETS
from nanoclaw.host import Host
from nanoclaw.records import SessionPaths
from nanoclaw.store.engine.executor import Lane, ThreadExecutor

T = TypeVar("T")

GUARD_S = 20.0
"""An upper bound on a hang; nothing waits for it."""


def config(home: Path, **changes: Any) -> Config:
    settings: dict[str, Any] = {
        "timezone": "UTC",
        **NO_BUDGETS,
        "retry.base_s": 0.02,
        "delivery.backoff_s": (0.02, 0.02, 0.02),
        "runtime.backoff_s": 0.02,
        **flat(changes),
    }
    return config_of(home, settings)


def supervisors(top: Supervisor) -> Iterator[Supervisor]:
    yield top
    for nested in top._nested:
        yield from supervisors(nested)


def supervisor(host: Host, name: str) -> Supervisor:
    """Return the supervisor of that name in the live tree."""
    return next(found for found in supervisors(host._root) if found.name == name)


def crashed(host: Host, under: str) -> set[str]:
    """Return the direct children of a supervisor that have crashed."""
    return {node.name for node in supervisor(host, under).tree().children if node.last_crash}


def only_session(home: Path) -> SessionPaths:
    """Return the paths of the only session."""
    [root] = (home / "data" / "sessions").glob("*/*")
    return SessionPaths(root)


def rows(file: Path, sql: str) -> list[tuple[Any, ...]]:
    """Read rows of a database that no process writes."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        return connection.execute(sql).fetchall()


def statuses(home: Path, session: str | None = None) -> list[str]:
    """Return the statuses of inbound messages in order of `seq`. The default is the only session."""
    [root] = (home / "data" / "sessions").glob(f"*/{session or '*'}")
    found = rows(SessionPaths(root).inbound_db, "SELECT status FROM messages_in ORDER BY seq")
    return [status for (status,) in found]


class WatchedExecutor(ThreadExecutor):
    """The production executor. Tests can wait for its work.

    A test that polls a host would keep the interpreter's lock from the worker threads.
    """

    def __init__(self) -> None:
        super().__init__()
        self._done = 0
        self._more = trio.Event()

    async def run(self, call: Callable[[], T], *, lane: Lane = "write") -> T:
        try:
            return await super().run(call, lane=lane)
        finally:
            self._done += 1
            self._more.set()
            self._more = trio.Event()

    async def until(self, look: Callable[[], Awaitable[T | None]]) -> T:
        """Call `look` after each piece of work until it does not return None. Return that value."""
        while True:
            done, more = self._done, self._more
            await wait_all_tasks_blocked()  # the effects of the last piece of work are done
            if (found := await look()) is not None:
                return found
            if self._done == done:
                await more.wait()
