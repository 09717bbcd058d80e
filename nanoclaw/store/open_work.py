"""Whether a session at rest has anything to do: asked of every session at start-up, so it only reads."""

from contextlib import closing
from pathlib import Path

import apsw

from nanoclaw.store import migration_steps
from nanoclaw.store.connections import open_readonly
from nanoclaw.store.errors import StoreError


def has_open_work(database: Path) -> bool:
    """Whether an `inbound.db` has open messages or deliveries; blocking, so it runs on the executor.

    Also True where that cannot be told: a journal to roll back, another build's file, a damaged one. Whoever
    then owns the file recovers it, or says what is wrong.
    """
    if not database.exists():
        return False
    try:
        with closing(open_readonly(database)) as connection:
            newest = migration_steps.inbound()[-1].number
            return connection.execute("PRAGMA user_version").get != newest or _has_open_rows(connection)
    except (apsw.Error, StoreError):
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
