# ruff: noqa: S608 -- all of it constants of these tests

"""Databases as earlier versions and other builds left them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import apsw

from nanoclaw.store.engine.migration_steps import central
from nanoclaw.store.engine.migrations import Migration, apply_central, register_functions
from tests.store.openings import StillClock

FIRST = "2026-01-01 08:00:00"
LATER = "2026-01-01T09:00:00.000Z"

CENTRAL = central()
NAMES = [migration.name for migration in CENTRAL]

DATA: dict[str, tuple[str, ...]] = {
    "initial-v2-schema": (
        f"""INSERT INTO agent_groups VALUES
            ('ag-1', 'One', 'one', NULL, '{FIRST}'), ('ag-2', 'Two', 'two', 'echo', '{FIRST}')""",
        f"""INSERT INTO messaging_groups VALUES
            ('mg-1', 'tg', 'tg:1', 'Family!', 1, 'strict', '{FIRST}'),
            ('mg-2', 'tg', 'tg:2', 'family', 1, 'public', '{FIRST}'),
            ('mg-3', 'tg', 'tg:3', NULL, 0, 'strict', '{FIRST}')""",
        f"""INSERT INTO messaging_group_agents VALUES
            ('w-1', 'mg-1', 'ag-1', NULL, 'all', 'shared', 0, '{FIRST}'),
            ('w-2', 'mg-2', 'ag-1', '{{}}', 'all', 'per-thread', 5, '{LATER}'),
            ('w-3', 'mg-3', 'ag-1', NULL, 'all', 'shared', 0, '{LATER}'),
            ('w-4', 'mg-1', 'ag-2', NULL, 'all', 'shared', 0, '{LATER}')""",
        f"INSERT INTO users VALUES ('tg:9', 'tg', 'Nine', '{FIRST}')",
        f"""INSERT INTO user_roles VALUES
            ('tg:9', 'owner', NULL, NULL, '{LATER}'), ('tg:9', 'owner', NULL, NULL, '{FIRST}'),
            ('tg:9', 'admin', 'ag-1', NULL, '{FIRST}')""",
        f"INSERT INTO agent_group_members VALUES ('tg:9', 'ag-1', NULL, '{FIRST}')",
        f"INSERT INTO user_dms VALUES ('tg:9', 'tg', 'mg-3', '{FIRST}')",
        f"""INSERT INTO sessions VALUES
            ('s-old', 'ag-1', 'mg-1', NULL, NULL, 'active', 'stopped', '{FIRST}', '{FIRST}'),
            ('s-new', 'ag-1', 'mg-1', NULL, NULL, 'active', 'stopped', '{LATER}', '{FIRST}'),
            ('s-paused', 'ag-1', 'mg-1', NULL, NULL, 'paused', 'stopped', '2027-01-01T00:00Z', '{FIRST}'),
            ('s-thread', 'ag-1', 'mg-1', 't', NULL, 'active', 'stopped', NULL, '{FIRST}'),
            ('s-gone', 'ag-1', 'mg-1', NULL, NULL, 'archived', 'stopped', NULL, '{FIRST}')""",
        f"""INSERT INTO pending_questions VALUES
            ('q-1', 's-old', 'm-1', NULL, NULL, NULL, 'T', '[]', '{FIRST}')""",
    ),
    "chat-sdk-state": (
        "INSERT INTO chat_sdk_kv VALUES ('k', 'v', 1)",
        "INSERT INTO chat_sdk_subscriptions (thread_id) VALUES ('t')",
    ),
    "pending-approvals": (
        f"""INSERT INTO pending_approvals (approval_id, request_id, action, payload, created_at)
            VALUES ('a-1', 'r-1', 'install_packages', '{{}}', '{FIRST}')""",
    ),
    "agent-destinations": (
        f"INSERT OR IGNORE INTO agent_destinations VALUES ('ag-1', 'two', 'agent', 'ag-2', '{FIRST}')",
    ),
    "dropped-messages": (
        f"""INSERT INTO unregistered_senders VALUES
            ('tg', 'tg:7', 'tg:7', 'Seven', 'strict', NULL, NULL, 42, '{FIRST}', '{LATER}')""",
    ),
}


@contextmanager
def made_by_hand(path: Path) -> Iterator[apsw.Connection]:
    """Open a database without the store."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = apsw.Connection(str(path))
    register_functions(connection, StillClock(), Random(1))
    try:
        yield connection
    finally:
        connection.close()


def bring_to(connection: apsw.Connection, migrations: tuple[Migration, ...]) -> None:
    """Apply migrations, and insert each one's data as soon as its tables exist."""
    for migration in migrations:
        with connection:
            apply_central(connection, migration)
            for statement in DATA.get(migration.name, ()):
                connection.execute(statement)


def tables(connection: apsw.Connection) -> dict[str, list[str]]:
    """Return every table with its columns."""
    names = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
    return {
        str(name): sorted(
            str(column) for (column,) in connection.execute("SELECT name FROM pragma_table_info(?)", (name,))
        )
        for (name,) in names
    }


def indexes(connection: apsw.Connection) -> set[str]:
    """Return the names of the indexes."""
    rows = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL")
    return {str(name) for (name,) in rows}
