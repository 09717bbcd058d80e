"""`agent_group_members`: who may talk to an agent. An admin of it may without a row here."""

from datetime import datetime

import apsw

from nanoclaw.records import Member
from nanoclaw.store import agent_groups, rows, user_roles, users


def add(
    connection: apsw.Connection, user_id: str, agent_group_id: str, added_by: str | None, now: datetime
) -> None:
    """Let the user in; nothing happens if they are.

    Raises:
        NotFound: there is no such user or agent group.
    """
    for user in filter(None, (user_id, added_by)):
        users.require(connection, user)
    agent_groups.require(connection, agent_group_id)
    connection.execute(
        """
        INSERT INTO agent_group_members (user_id, agent_group_id, added_by, added_at)
        VALUES (:user_id, :agent_group_id, :added_by, :added_at)
        ON CONFLICT DO NOTHING
        """,
        rows.values(Member(user_id, agent_group_id, added_by, now)),
    )


def remove(connection: apsw.Connection, user_id: str, agent_group_id: str) -> bool:
    """No longer let the user in; False if they were no member. An admin stays one."""
    connection.execute(
        "DELETE FROM agent_group_members WHERE user_id = :user_id AND agent_group_id = :agent_group_id",
        {"user_id": user_id, "agent_group_id": agent_group_id},
    )
    return connection.changes() > 0


def for_agent(connection: apsw.Connection, agent_group_id: str) -> list[Member]:
    """The members of an agent group, the oldest first; its admins may talk to it, too."""
    return rows.many(
        Member,
        connection.execute(
            """
            SELECT user_id, agent_group_id, added_by, added_at FROM agent_group_members
            WHERE agent_group_id = :agent_group_id ORDER BY julianday(added_at), user_id
            """,
            {"agent_group_id": agent_group_id},
        ),
    )


def for_user(connection: apsw.Connection, user_id: str) -> list[Member]:
    """A user's memberships, the oldest first."""
    return rows.many(
        Member,
        connection.execute(
            """
            SELECT user_id, agent_group_id, added_by, added_at FROM agent_group_members
            WHERE user_id = :user_id ORDER BY julianday(added_at), agent_group_id
            """,
            {"user_id": user_id},
        ),
    )


def is_member(connection: apsw.Connection, user_id: str, agent_group_id: str) -> bool:
    """Whether the user may talk to that agent: as a member, as its admin, as a global admin or owner."""
    row = connection.execute(
        "SELECT 1 FROM agent_group_members WHERE user_id = :user_id AND agent_group_id = :agent_group_id",
        {"user_id": user_id, "agent_group_id": agent_group_id},
    ).fetchone()
    return row is not None or user_roles.may_administer(connection, user_id, agent_group_id)
