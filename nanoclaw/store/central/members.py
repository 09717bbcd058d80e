"""Rows of `agent_group_members`: the users who may talk to an agent. Its admins need no row."""

from collections.abc import Iterable
from datetime import datetime

import apsw

from nanoclaw.records import Member
from nanoclaw.store.central import agent_groups, people, user_roles, users
from nanoclaw.store.engine import rows


def add(
    connection: apsw.Connection, user_id: str, agent_group_id: str, added_by: str | None, now: datetime
) -> None:
    """Make the user a member, unless they are one already.

    Raises:
        NotFound: the user, the adding user or the agent group does not exist.
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
    """End a membership. Return False if there was none. An admin may still talk to the agent."""
    connection.execute(
        "DELETE FROM agent_group_members WHERE user_id = :user_id AND agent_group_id = :agent_group_id",
        {"user_id": user_id, "agent_group_id": agent_group_id},
    )
    return connection.changes() > 0


def for_agent(connection: apsw.Connection, agent_group_id: str) -> list[Member]:
    """Return the members of an agent group, oldest first. Admins without a row are not among them."""
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
    """Return a user's memberships, oldest first."""
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
    """Return whether the person may talk to the agent: as a member, its admin, a global admin or an owner."""
    row = connection.execute(
        f"""
        SELECT EXISTS (
          SELECT 1 FROM agent_group_members
          WHERE agent_group_id = :group AND user_id IN ({people.IDENTITIES})
        )
        """,  # noqa: S608 -- a constant
        {"user_id": user_id, "group": agent_group_id},
    ).get
    return bool(row) or user_roles.may_administer(connection, user_id, agent_group_id)


ANY_AGENT = ""
"""Stands for all agents in what `agents_of` returns."""


def agents_of(connection: apsw.Connection, identities: Iterable[str]) -> frozenset[str]:
    """Return the agents to which a person may talk, as `is_member` says it of one. `ANY_AGENT`: to all."""
    return frozenset(
        str(agent)
        for user_id in identities
        for (agent,) in connection.execute(
            """
            SELECT agent_group_id FROM agent_group_members WHERE user_id = :user
            UNION ALL
            SELECT CASE role WHEN 'owner' THEN '' ELSE coalesce(agent_group_id, '') END FROM user_roles
            WHERE role IN ('owner', 'admin') AND user_id = :user
            """,
            {"user": user_id},
        )
    )
