"""Homes for hosts under test: a configuration that retries at once, and how to reach an actor to kill it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from actors import Supervisor
from nanoclaw.config import Config
from nanoclaw.host import Host
from nanoclaw.records import SessionPaths

GUARD_S = 20.0
"""An upper bound on a hang; nothing waits for it."""


def config(home: Path, **changes: Any) -> Config:
    settings: dict[str, Any] = {
        "timezone": "UTC",
        "retry_base_s": 0.02,
        "delivery_backoff_s": (0.02, 0.02, 0.02),
        "runner_backoff_s": 0.02,
        **changes,
    }
    return Config(home, home / "data", home / "groups", **settings)


def supervisors(top: Supervisor) -> Iterator[Supervisor]:
    yield top
    for nested in top._nested:
        yield from supervisors(nested)


def supervisor(host: Host, name: str) -> Supervisor:
    """The supervisor of that name, as the live tree shows it."""
    return next(found for found in supervisors(host._root) if found.name == name)


def crashed(host: Host, under: str) -> set[str]:
    """Which actors right under a supervisor have ever crashed."""
    return {node.name for node in supervisor(host, under).tree().children if node.last_crash}


def only_session(home: Path) -> SessionPaths:
    """The paths of the one session there is."""
    [root] = (home / "data" / "sessions").glob("*/*")
    return SessionPaths(root)


def rows(file: Path, sql: str) -> list[tuple[Any, ...]]:
    """What a stranger reads in a database that nobody writes now."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        return connection.execute(sql).fetchall()


def statuses(home: Path, session: str | None = None) -> list[str]:
    """Of a session's inbound messages, in the order of their numbers; without a name, of the one there is."""
    [root] = (home / "data" / "sessions").glob(f"*/{session or '*'}")
    found = rows(SessionPaths(root).inbound_db, "SELECT status FROM messages_in ORDER BY seq")
    return [status for (status,) in found]
