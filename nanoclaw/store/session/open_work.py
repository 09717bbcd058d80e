"""A check for open work in a session that is not running. The host makes it at start-up for each session."""

from contextlib import closing
from pathlib import Path

import apsw

from nanoclaw.store.engine import migration_steps
from nanoclaw.store.engine.connections import open_readonly
from nanoclaw.store.engine.errors import StoreError


def has_open_work(database: Path, *, missing: bool = False) -> bool:
    """Return whether an `inbound.db` has open messages or deliveries. Blocking: run it on the executor.

    It also returns True if the file cannot be read: a journal must be rolled back, the file is damaged or
    another build's, or its folder cannot be entered. The session that then opens it recovers it or reports
    the error. `missing` is the answer for a file that is missing: True if the session was used before.
    """
    try:
        database.stat()
    except FileNotFoundError:
        return missing
    except OSError:
        return True
    try:
        with closing(open_readonly(database)) as connection:
            newest = migration_steps.inbound()[-1].number
            return connection.execute("PRAGMA user_version").get != newest or _has_open_rows(connection)
    except (apsw.Error, StoreError, OSError):
        return True


def _has_open_rows(connection: apsw.Connection) -> bool:
    return bool(
        connection.execute(
            """
            SELECT EXISTS (SELECT 1 FROM messages_in WHERE status = 'pending')
                OR EXISTS (SELECT 1 FROM deliveries WHERE status <> 'final')
            """
        ).get
    )
