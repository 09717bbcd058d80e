"""Rows of `pending_approvals`: requests that wait for an admin, and their decisions."""

from datetime import datetime

import apsw
from attrs import evolve

from nanoclaw.records import ApprovalStatus, PendingApproval
from nanoclaw.store.central import agent_groups, sessions
from nanoclaw.store.engine import rows
from nanoclaw.store.engine.errors import NotAllowed
from nanoclaw.store.engine.rows import DamagedRow
from nanoclaw.store.engine.times import to_text

_SELECT = """
    SELECT approval_id, session_id, request_id, action, payload, created_at, agent_group_id, channel_type,
      platform_id, platform_message_id, expires_at, status, title, options_json, payload_hash,
      decided_by, decided_at, requested_by, choice, note, outcome, finished_at, told_at, text, same, scope
    FROM pending_approvals
"""


def create(connection: apsw.Connection, approval: PendingApproval) -> bool:
    """Insert an approval. Return False if its id exists: a request may be read twice after a crash.

    Raises:
        NotFound: the session or the agent group does not exist.
    """
    if approval.session_id is not None:
        sessions.require(connection, approval.session_id)
    if approval.agent_group_id is not None:
        agent_groups.require(connection, approval.agent_group_id)
    connection.execute(
        """
        INSERT INTO pending_approvals (
          approval_id, session_id, request_id, action, payload, created_at, agent_group_id, channel_type,
          platform_id, platform_message_id, expires_at, status, title, options_json, payload_hash,
          decided_by, decided_at, requested_by, choice, note, outcome, finished_at, told_at, text, same, scope
        )
        VALUES (
          :approval_id, :session_id, :request_id, :action, :payload, :created_at, :agent_group_id,
          :channel_type, :platform_id, :platform_message_id, :expires_at, :status, :title, :options,
          :payload_hash, :decided_by, :decided_at, :requested_by, :choice, :note, :outcome, :finished_at,
          :told_at, :text, :same, :scope
        )
        ON CONFLICT (approval_id) DO NOTHING
        """,
        rows.values(approval),
    )
    return connection.changes() > 0


def get(connection: apsw.Connection, approval_id: str) -> PendingApproval | None:
    """Return the approval with this id, decided or not, or None."""
    return rows.one(
        PendingApproval, connection.execute(f"{_SELECT} WHERE approval_id = :id", {"id": approval_id})
    )


require = rows.required(get, "there is no approval {!r}")
"""Return the approval with this id, decided or not, or raise `NotFound`."""


def for_action(
    connection: apsw.Connection, action: str, status: ApprovalStatus | None = "pending"
) -> list[PendingApproval]:
    """Return the approvals of an action with this status (None: any), oldest first."""
    return rows.many(
        PendingApproval,
        connection.execute(
            f"""
            {_SELECT} WHERE action = :action AND (:status IS NULL OR status = :status)
            ORDER BY julianday(created_at), approval_id
            """,
            {"action": action, "status": status},
        ),
    )


def damaged(connection: apsw.Connection) -> list[DamagedRow]:
    """Return the errors about the rows that cannot be read. The other functions leave these rows out."""
    return rows.damaged(PendingApproval, connection.execute(_SELECT))


def every(connection: apsw.Connection, status: ApprovalStatus | None = None) -> list[PendingApproval]:
    """Return all approvals with this status (None: any), oldest first."""
    return rows.many(
        PendingApproval,
        connection.execute(
            f"""
            {_SELECT} WHERE :status IS NULL OR status = :status
            ORDER BY julianday(created_at), approval_id
            """,
            {"status": status},
        ),
    )


def open_equal(
    connection: apsw.Connection, agent_group_id: str | None, action: str, same: str
) -> PendingApproval | None:
    """Return the open request of an agent (None: of the host) that is equal to another one, or None."""
    found = connection.execute(
        f"""
        {_SELECT} WHERE status = 'pending' AND action = :action AND same = :same AND agent_group_id IS :agent
        ORDER BY julianday(created_at), approval_id LIMIT 1
        """,
        {"action": action, "same": same, "agent": agent_group_id},
    )
    return rows.one(PendingApproval, found)


def count_open(
    connection: apsw.Connection, agent_group_id: str | None, action: str, *, by_session: bool
) -> int:
    """Return the number of open requests that an agent's sessions made, or of those of the host's action."""
    [(count,)] = connection.execute(
        """
        SELECT count(*) FROM pending_approvals
        WHERE status = 'pending' AND agent_group_id IS :agent AND (session_id IS NOT NULL) = :by_session
          AND (:by_session OR action = :action)
        """,
        {"agent": agent_group_id, "action": action, "by_session": by_session},
    )
    return int(str(count))


def store_decision(connection: apsw.Connection, decided: PendingApproval) -> None:
    """Store what a decision, or carrying it out, changed."""
    connection.execute(
        """
        UPDATE pending_approvals SET status = :status, decided_by = :decided_by, decided_at = :decided_at,
          choice = :choice, note = :note, outcome = :outcome, finished_at = :finished_at, told_at = :told_at
        WHERE approval_id = :approval_id
        """,
        rows.values(decided),
    )


def unfinished(connection: apsw.Connection) -> list[PendingApproval]:
    """Return the approved ones whose effects are not done yet, oldest decision first."""
    found = connection.execute(
        f"""
        {_SELECT} WHERE status <> 'pending' AND finished_at IS NULL
        ORDER BY julianday(decided_at), approval_id
        """
    )
    return rows.many(PendingApproval, found)


def overdue(connection: apsw.Connection, now: datetime) -> list[PendingApproval]:
    """Return the pending ones whose time is over."""
    found = connection.execute(
        f"""
        {_SELECT} WHERE status = 'pending' AND julianday(expires_at) <= julianday(:now)
        ORDER BY julianday(expires_at), approval_id
        """,
        {"now": to_text(now)},
    )
    return rows.many(PendingApproval, found)


_PRUNABLE = """
    SELECT approval_id FROM pending_approvals AS approval
    WHERE status <> 'pending' AND finished_at IS NOT NULL AND julianday(decided_at) < julianday(:before)
      AND NOT EXISTS (
        SELECT 1 FROM approval_askers AS asker
        WHERE asker.approval_id = approval.approval_id AND asker.told_at IS NULL
      )
"""


def has_prunable(connection: apsw.Connection, before: datetime) -> bool:
    """Return True if `prune` would delete something."""
    return bool(connection.execute(f"{_PRUNABLE} LIMIT 1", {"before": to_text(before)}).fetchall())


def prune(connection: apsw.Connection, before: datetime) -> int:
    """Delete the decided ones that are done, told, and older than a date. Return their number."""
    found = connection.execute(_PRUNABLE, {"before": to_text(before)}).fetchall()
    connection.executemany(
        "DELETE FROM pending_approvals WHERE approval_id = ?", [(id_,) for (id_,) in found]
    )
    return len(found)


def decide(
    connection: apsw.Connection, approval_id: str, status: ApprovalStatus, by: str | None, now: datetime
) -> PendingApproval:
    """Decide an approval; the first decision stands. `by` is a user id, or None if it expired.

    Raises:
        NotFound: no approval has this id.
        NotAllowed: it is decided already, or `status` is not a decision.
    """
    approval = require(connection, approval_id)
    if approval.status != "pending":
        raise NotAllowed(f"approval {approval_id} is already {approval.status}")
    if status == "pending":
        raise NotAllowed("approval status pending is not a decision; use approved, rejected or expired")
    decided = evolve(approval, status=status, decided_by=by, decided_at=now)
    connection.execute(
        """
        UPDATE pending_approvals SET status = :status, decided_by = :decided_by, decided_at = :decided_at
        WHERE approval_id = :approval_id
        """,
        rows.values(decided),
    )
    return decided


def expire(connection: apsw.Connection, now: datetime) -> list[PendingApproval]:
    """Set overdue approvals to expired and return them."""
    late = connection.execute(
        """
        SELECT approval_id FROM pending_approvals
        WHERE status = 'pending' AND julianday(expires_at) <= julianday(:now)
        ORDER BY julianday(expires_at), approval_id
        """,
        {"now": to_text(now)},
    ).fetchall()
    return [decide(connection, str(id_), "expired", None, now) for (id_,) in late]


def end_early(connection: apsw.Connection, action: str, same: str, now: datetime) -> None:
    """Let the open approvals of an action about one thing expire at once: it was settled in another way."""
    connection.execute(
        """
        UPDATE pending_approvals SET expires_at = :now
        WHERE status = 'pending' AND action = :action AND same = :same
        """,
        {"action": action, "same": same, "now": to_text(now)},
    )


def date_back(connection: apsw.Connection, now: datetime) -> None:
    """Let approvals that were created on a later date than `now` expire after their own length from now."""
    connection.execute(
        """
        UPDATE pending_approvals SET created_at = :now, expires_at = strftime('%Y-%m-%dT%H:%M:%fZ',
          julianday(:now) + julianday(expires_at) - julianday(created_at))
        WHERE status = 'pending' AND expires_at IS NOT NULL AND julianday(created_at) > julianday(:now)
        """,
        {"now": to_text(now)},
    )


def delete(connection: apsw.Connection, approval_id: str) -> PendingApproval:
    """Delete an approval, decided or not, and return it.

    Raises:
        NotFound: no approval has this id.
    """
    approval = require(connection, approval_id)
    connection.execute("DELETE FROM pending_approvals WHERE approval_id = :id", {"id": approval_id})
    return approval
