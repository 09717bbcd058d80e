"""Rows of `answering_messages`: messages that have answered a question or decided an approval.

A network may report a message twice. Without these rows, the second report would answer what waits next.
"""

from datetime import datetime, timedelta

import apsw

from nanoclaw.store.engine.times import to_text

KEPT = timedelta(days=30)
"""How long a message is remembered."""
MOST = 10_000
"""Limit of rows. The oldest ones are deleted."""


def note(connection: apsw.Connection, message_id: str, now: datetime) -> None:
    """Remember a message that has answered, and forget those that are old."""
    connection.execute(
        "INSERT INTO answering_messages (message_id, at) VALUES (?, ?) ON CONFLICT DO NOTHING",
        (message_id, to_text(now)),
    )
    connection.execute(
        """
        DELETE FROM answering_messages WHERE at < :before OR message_id IN (
          SELECT message_id FROM answering_messages ORDER BY at DESC LIMIT -1 OFFSET :most)
        """,
        {"before": to_text(now - KEPT), "most": MOST},
    )


def has(connection: apsw.Connection, message_id: str) -> bool:
    """Return True if a message has answered already."""
    found = connection.execute(
        "SELECT EXISTS (SELECT 1 FROM answering_messages WHERE message_id = ?)", (message_id,)
    ).get
    return bool(found)
