"""Rows of `user_roles`: owners, global admins, and admins of one agent group."""

from datetime import datetime

import apsw

from nanoclaw.records import Role, UserRole
from nanoclaw.store.central import agent_groups, people, users
from nanoclaw.store.engine import rows
from nanoclaw.store.engine.errors import NotAllowed


def grant(  # noqa: PLR0913, PLR0917 -- the columns of its row
    connection: apsw.Connection,
    user_id: str,
    role: Role,
    agent_group_id: str | None,
    granted_by: str | None,
    now: datetime,
) -> None:
    """Grant a role, unless the user has it already. `agent_group_id` None means all agent groups.

    Raises:
        NotAllowed: the role is owner and an agent group is given; owners are always global.
        NotFound: the user, the granting user or the agent group does not exist.
    """
    if role == "owner" and agent_group_id is not None:
        raise NotAllowed("the role owner is always global; grant admin for one agent group instead")
    for user in filter(None, (user_id, granted_by)):
        users.require(connection, user)
    if agent_group_id is not None:
        agent_groups.require(connection, agent_group_id)
    connection.execute(
        """
        INSERT INTO user_roles (user_id, role, agent_group_id, granted_by, granted_at)
        VALUES (:user_id, :role, :agent_group_id, :granted_by, :granted_at)
        ON CONFLICT DO NOTHING
        """,
        rows.values(UserRole(user_id, role, agent_group_id, granted_by, now)),
    )


def revoke(connection: apsw.Connection, user_id: str, role: Role, agent_group_id: str | None) -> bool:
    """Revoke a role. Return False if the user did not have it.

    Revoking a global role keeps the roles for single agent groups.
    """
    connection.execute(
        """
        DELETE FROM user_roles
        WHERE user_id = :user_id AND role = :role AND agent_group_id IS :agent_group_id
        """,
        {"user_id": user_id, "role": role, "agent_group_id": agent_group_id},
    )
    return connection.changes() > 0


def for_user(connection: apsw.Connection, user_id: str) -> list[UserRole]:
    """Return a user's roles: owner first, then global admin, then by agent group."""
    return rows.many(
        UserRole,
        connection.execute(
            """
            SELECT user_id, role, agent_group_id, granted_by, granted_at FROM user_roles
            WHERE user_id = :user_id ORDER BY role DESC, agent_group_id
            """,
            {"user_id": user_id},
        ),
    )


def every(connection: apsw.Connection) -> list[UserRole]:
    """Return all roles: owners first, then global admins, then by agent group and user."""
    return rows.many(
        UserRole,
        connection.execute(
            """
            SELECT user_id, role, agent_group_id, granted_by, granted_at FROM user_roles
            ORDER BY role DESC, agent_group_id, user_id
            """
        ),
    )


def is_owner(connection: apsw.Connection, user_id: str) -> bool:
    """Return whether the person owns this installation, by any of their identities."""
    return _has(connection, "role = 'owner'", user_id)


def is_global_admin(connection: apsw.Connection, user_id: str) -> bool:
    """Return whether the person is a global admin. An owner without this role is not."""
    return _has(connection, "role = 'admin' AND agent_group_id IS NULL", user_id)


def is_admin_of(connection: apsw.Connection, user_id: str, agent_group_id: str) -> bool:
    """Return whether the person is an admin of exactly this agent group."""
    return _has(connection, "role = 'admin' AND agent_group_id = :group", user_id, agent_group_id)


def may_administer(connection: apsw.Connection, user_id: str, agent_group_id: str) -> bool:
    """Return whether the person is an owner, a global admin, or an admin of this agent group."""
    return _has(connection, _ADMINISTERS, user_id, agent_group_id)


_ADMINISTERS = "(role = 'owner' OR (role = 'admin' AND coalesce(agent_group_id, :group) = :group))"


def _has(connection: apsw.Connection, role: str, user_id: str, agent_group_id: str = "") -> bool:
    """Return whether an identity of the person has a role. `role` is SQL."""
    return bool(
        connection.execute(
            f"SELECT EXISTS (SELECT 1 FROM user_roles WHERE {role} AND user_id IN ({people.IDENTITIES}))",  # noqa: S608 -- constants
            {"user_id": user_id, "group": agent_group_id},
        ).get
    )


def admins(connection: apsw.Connection, agent_group_id: str) -> list[str]:
    """Return all identities of those who may administer an agent group: owners, global admins, its admins.

    Owners come first, then global admins; within each, the oldest role comes first. The identity that has the
    role is followed by the others of its person.
    """
    found = connection.execute(
        f"""
        SELECT user_id FROM user_roles WHERE {_ADMINISTERS}
        GROUP BY user_id
        ORDER BY
          max(role = 'owner') DESC, max(agent_group_id IS NULL) DESC, min(julianday(granted_at)), user_id
        """,  # noqa: S608 -- constants
        {"group": agent_group_id},
    )
    holders = [str(user_id) for (user_id,) in found]
    return list(dict.fromkeys(each for user_id in holders for each in people.identities(connection, user_id)))
