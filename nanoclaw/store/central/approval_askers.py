"""Rows of `approval_askers`: the sessions that asked for an approval, and are told its outcome."""

from datetime import datetime

import apsw

from nanoclaw.records import ApprovalAsker
from nanoclaw.store.engine import rows
from nanoclaw.store.engine.times import to_text

_SELECT = """
    SELECT approval_id, asker.session_id, asker.request_id, asker.channel_type, asker.platform_id,
      asker.thread_id, asker.told_at
    FROM approval_askers AS asker
"""


def add(connection: apsw.Connection, asker: ApprovalAsker) -> None:
    """Insert an asker, unless the session has asked for this approval before."""
    connection.execute(
        """
        INSERT INTO approval_askers (
          approval_id, session_id, request_id, channel_type, platform_id, thread_id, told_at
        )
        VALUES (:approval_id, :session_id, :request_id, :channel_type, :platform_id, :thread_id, :told_at)
        ON CONFLICT DO NOTHING
        """,
        rows.values(asker),
    )


def untold(connection: apsw.Connection) -> list[ApprovalAsker]:
    """Return the askers whose outcome is known and who were not told yet, by age of the approval."""
    return rows.many(
        ApprovalAsker,
        connection.execute(
            f"""
            {_SELECT} JOIN pending_approvals AS approval USING (approval_id)
            WHERE asker.told_at IS NULL AND approval.finished_at IS NOT NULL
            ORDER BY julianday(approval.created_at), approval_id, asker.session_id
            """
        ),
    )


def mark_told(connection: apsw.Connection, approval_id: str, session_id: str, now: datetime) -> None:
    """Record that a session was told."""
    connection.execute(
        "UPDATE approval_askers SET told_at = ? WHERE approval_id = ? AND session_id = ?",
        (to_text(now), approval_id, session_id),
    )


def count_untold(connection: apsw.Connection, approval_id: str) -> int:
    """Return the number of sessions that were not told yet."""
    [(count,)] = connection.execute(
        "SELECT count(*) FROM approval_askers WHERE approval_id = ? AND told_at IS NULL", (approval_id,)
    )
    return int(str(count))
