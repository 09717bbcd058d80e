"""A session with a long past: old rows by the hundred thousand, made by SQLite itself in a second."""

from contextlib import closing
from pathlib import Path

import apsw

from nanoclaw.records import SessionPaths

ROWS = 100_000
FIRST = 1_000
"""Below the numbers of the history are those of the session's own life before it."""
EVERY = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :rows)"
LONG_AGO = "2025-01-01T00:00:00.000Z"

INBOUND = (
    """
    INSERT INTO messages_in (
      id, seq, kind, timestamp, status, series_id, slot, platform_id, channel_type, thread_id, content
    )
    SELECT 'in-old-' || i, :first + 2 * i, iif(i % 10, 'chat', 'task'), :then, 'completed',
      iif(i % 10, NULL, 'series-old'), iif(i % 10, NULL, datetime(i * 60, 'unixepoch')),
      r.platform_id, r.channel_type, r.thread_id,
      '{"id": "' || i || '", "text": "an old message", "sender": "User", "senderId": "u"}'
    FROM n, session_routing AS r
    """,
    """
    INSERT INTO delivered (message_out_id, platform_message_id, status, delivered_at)
    SELECT 'out-old-' || i, 'p' || i, 'delivered', :then FROM n
    """,
    """
    INSERT INTO deliveries (message_out_id, seq, status, attempts, started_at)
    SELECT 'out-old-' || i, :first + 2 * i + 1, 'final', 1, :then FROM n
    """,
    "INSERT OR REPLACE INTO meta (key, value) SELECT 'seq', :first + 2 * :rows FROM n LIMIT 1",
    "INSERT OR REPLACE INTO meta (key, value) SELECT 'outbound_seq', :first + 2 * :rows + 1 FROM n LIMIT 1",
)
OUTBOUND = (
    """
    INSERT INTO messages_out (id, seq, in_reply_to, timestamp, kind, content, turn_id)
    SELECT 'out-old-' || i, :first + 2 * i + 1, 'in-old-' || i, :then, 'chat', '{"text": "an old reply"}',
      'turn-old-' || i
    FROM n
    """,
    """
    INSERT INTO processing_ack (message_id, status, status_changed, attempt, turn_id)
    SELECT 'in-old-' || i, 'completed', :then, 0, 'turn-old-' || i FROM n
    """,
    """
    INSERT INTO events (at, kind, message_id, data)
    SELECT :then, 'turn ended', 'in-old-' || i, '{"turn_id": "turn-old"}' FROM n
    """,
    "INSERT OR REPLACE INTO meta (key, value) SELECT 'seq', :first + 2 * :rows + 1 FROM n LIMIT 1",
)


def add_history(paths: SessionPaths, rows: int = ROWS, then: str = LONG_AGO) -> None:
    """Give a session that nobody has open a past of `rows` rows in each table that grows."""
    for file, statements in ((paths.inbound_db, INBOUND), (paths.outbound_db, OUTBOUND)):
        _execute(file, statements, {"rows": rows, "first": FIRST, "then": then})


def _execute(file: Path, statements: tuple[str, ...], values: dict[str, int | str]) -> None:
    with closing(apsw.Connection(str(file))) as connection, connection:
        for statement in statements:
            used = {name: value for name, value in values.items() if f":{name}" in EVERY + statement}
            head, _, select = statement.partition("SELECT")
            connection.execute(f"{head} {EVERY} SELECT {select}", used)
