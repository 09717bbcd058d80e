"""Rows of `performed_actions`: agents' requests that the host has performed, by their outbound row."""

from datetime import datetime

import apsw
from attrs import frozen

from nanoclaw.store.engine.times import to_text


@frozen
class PerformedAction:
    """The outcome of a request; `result` is JSON."""

    completed: bool
    result: str


def get(connection: apsw.Connection, session_id: str, message_out_id: str) -> PerformedAction | None:
    """Return the outcome of a request that was performed earlier, or None."""
    row = connection.execute(
        "SELECT status, result FROM performed_actions WHERE session_id = ? AND message_out_id = ?",
        (session_id, message_out_id),
    ).fetchone()
    return PerformedAction(row[0] == "completed", str(row[1])) if row else None


def keep(
    connection: apsw.Connection, session_id: str, message_out_id: str, done: PerformedAction, now: datetime
) -> None:
    """Store the outcome of a request. Call it in the transaction that performs the request."""
    connection.execute(
        """
        INSERT INTO performed_actions (session_id, message_out_id, status, result, performed_at)
        VALUES (:session_id, :message_out_id, :status, :result, :performed_at)
        """,
        {
            "session_id": session_id,
            "message_out_id": message_out_id,
            "status": "completed" if done.completed else "failed",
            "result": done.result,
            "performed_at": to_text(now),
        },
    )
