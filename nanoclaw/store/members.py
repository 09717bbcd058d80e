"""`agent_group_members`: who may talk to an agent. An admin of it may without a row here."""

from datetime import datetime

import apsw

from nanoclaw.store import user_roles
from nanoclaw.store.times import to_text


def add(
    connection: apsw.Connection, user_id: str, agent_group_id: str, added_by: str | None, now: datetime
) -> None:
    """Let the user in; nothing happens if they are."""
    connection.execute(
        """
        INSERT INTO agent_group_members (user_id, agent_group_id, added_by, added_at)
        VALUES (:user_id, :agent_group_id, :added_by, :now)
        ON CONFLICT DO NOTHING
        """,
        {"user_id": user_id, "agent_group_id": agent_group_id, "added_by": added_by, "now": to_text(now)},
    )


def is_member(connection: apsw.Connection, user_id: str, agent_group_id: str) -> bool:
    """Whether the user may talk to that agent: as a member, as its admin, as a global admin or owner."""
    row = connection.execute(
        "SELECT 1 FROM agent_group_members WHERE user_id = :user_id AND agent_group_id = :agent_group_id",
        {"user_id": user_id, "agent_group_id": agent_group_id},
    ).fetchone()
    return row is not None or user_roles.may_administer(connection, user_id, agent_group_id)
