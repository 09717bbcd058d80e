"""Rows of `engaged_threads`: the threads in which an agent stays engaged (contract 3, `sticky`)."""

from collections.abc import Iterable
from datetime import datetime

import apsw

from nanoclaw.records import EngagedThread
from nanoclaw.store.engine import rows
from nanoclaw.store.engine.times import to_text


def every(connection: apsw.Connection) -> list[EngagedThread]:
    """Return all rows, the one with the oldest message first."""
    return rows.many(
        EngagedThread,
        connection.execute(
            "SELECT wiring_id, thread_id, engaged_at, last_at FROM engaged_threads ORDER BY last_at"
        ),
    )


def record(
    connection: apsw.Connection,
    engaged: Iterable[EngagedThread],
    left: Iterable[tuple[str, str]],
    silent_since: datetime,
) -> None:
    """Insert or renew rows, and delete those in `left` and those without a message since `silent_since`.

    A thread of a wiring that is gone is ignored.
    """
    for each in engaged:
        connection.execute(
            """
            INSERT INTO engaged_threads (wiring_id, thread_id, engaged_at, last_at)
            SELECT :wiring_id, :thread_id, :engaged_at, :last_at
            WHERE EXISTS (SELECT 1 FROM messaging_group_agents WHERE id = :wiring_id)
            ON CONFLICT DO UPDATE SET last_at = excluded.last_at
            """,
            rows.values(each),
        )
    connection.executemany("DELETE FROM engaged_threads WHERE wiring_id = ? AND thread_id = ?", list(left))
    connection.execute("DELETE FROM engaged_threads WHERE last_at < ?", (to_text(silent_since),))
