"""Rows of `callbacks` and `callback_queue`: addresses that are told of answers. Functions of a connection."""

from datetime import datetime

import apsw
from attrs import frozen

from nanoclaw.store.engine.times import from_text, to_text


@frozen
class Waiting:
    """An entry that an address has not confirmed."""

    seq: int
    url: str
    attempts: int
    due_at: datetime


def register(connection: apsw.Connection, message_id: str, url: str, now: datetime) -> None:
    """Have the answers to a message sent to an address."""
    connection.execute(
        """
        INSERT INTO callbacks (message_id, url, created_at) VALUES (:id, :url, :now)
        ON CONFLICT (message_id) DO NOTHING
        """,
        {"id": message_id, "url": url, "now": to_text(now)},
    )


def enqueue(connection: apsw.Connection, message_id: str, seq: int, now: datetime) -> bool:
    """Queue an answer to a message, if an address wants it. Return True if one does."""
    connection.execute(
        """
        INSERT INTO callback_queue (seq, url, due_at)
        SELECT :seq, url, :now FROM callbacks WHERE message_id = :id
        ON CONFLICT (seq, url) DO NOTHING
        """,
        {"id": message_id, "seq": seq, "now": to_text(now)},
    )
    return connection.changes() > 0


def due(connection: apsw.Connection, limit: int) -> list[Waiting]:
    """Return what waits, the next due first."""
    found = connection.execute(
        "SELECT seq, url, attempts, due_at FROM callback_queue ORDER BY due_at, seq LIMIT :limit",
        {"limit": limit},
    ).fetchall()
    return [
        Waiting(int(str(seq)), str(url), int(str(attempts)), from_text(str(due_at)))
        for seq, url, attempts, due_at in found
    ]


def postpone(connection: apsw.Connection, waiting: Waiting, due_at: datetime) -> None:
    """Count a failed attempt, and set the time of the next."""
    connection.execute(
        "UPDATE callback_queue SET attempts = attempts + 1, due_at = :due_at WHERE seq = :seq AND url = :url",
        {"seq": waiting.seq, "url": waiting.url, "due_at": to_text(due_at)},
    )


def remove(connection: apsw.Connection, waiting: Waiting) -> None:
    """Remove what was confirmed or given up."""
    connection.execute(
        "DELETE FROM callback_queue WHERE seq = :seq AND url = :url",
        {"seq": waiting.seq, "url": waiting.url},
    )


def prune(connection: apsw.Connection, older: datetime) -> None:
    """Delete the addresses of messages that are older than a date."""
    connection.execute("DELETE FROM callbacks WHERE created_at < :older", {"older": to_text(older)})
