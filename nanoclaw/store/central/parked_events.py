"""Rows of `parked_events`: accepted events that their session could not store yet."""

from collections.abc import Iterable

import apsw

from nanoclaw.records import ParkedEvent
from nanoclaw.store.engine import rows


def park(connection: apsw.Connection, event: ParkedEvent) -> None:
    """Store a whole event."""
    connection.execute(
        """
        INSERT INTO parked_events (id, session_id, event, reason, created_at)
        VALUES (:id, :session_id, :event, :reason, :created_at)
        """,
        rows.values(event),
    )


def for_session(connection: apsw.Connection, session_id: str) -> list[ParkedEvent]:
    """Return a session's parked events, in the order of parking."""
    return rows.many(
        ParkedEvent,
        connection.execute(
            """
            SELECT id, session_id, event, reason, created_at FROM parked_events
            WHERE session_id = :session_id ORDER BY rowid
            """,
            {"session_id": session_id},
        ),
    )


def every(connection: apsw.Connection) -> list[ParkedEvent]:
    """Return all parked events, in the order of parking."""
    return rows.many(
        ParkedEvent,
        connection.execute(
            "SELECT id, session_id, event, reason, created_at FROM parked_events ORDER BY rowid"
        ),
    )


def remove(connection: apsw.Connection, ids: Iterable[str]) -> None:
    """Delete parked events that their sessions have stored. Unknown ids are ignored."""
    connection.executemany("DELETE FROM parked_events WHERE id = :id", [{"id": id_} for id_ in ids])


def counts(connection: apsw.Connection) -> dict[str, int]:
    """Return the number of parked events by session id."""
    return dict(connection.execute("SELECT session_id, count(*) FROM parked_events GROUP BY session_id"))
