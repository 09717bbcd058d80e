"""`user_roles`: who is an owner or an admin, of everything or of one agent group."""

from datetime import datetime

import apsw

from nanoclaw.records import Role, UserRole
from nanoclaw.store import agent_groups, rows, users
from nanoclaw.store.errors import NotAllowed


def grant(  # noqa: PLR0913, PLR0917 -- the columns of its row
    connection: apsw.Connection,
    user_id: str,
    role: Role,
    agent_group_id: str | None,
    granted_by: str | None,
    now: datetime,
) -> None:
    """Give a right; nothing happens if the user has it. None as agent group is everything.

    Raises:
        NotAllowed: an owner of one agent group; owners are always global.
        NotFound: there is no such user or agent group.
    """
    if role == "owner" and agent_group_id is not None:
        raise NotAllowed("an owner is an owner of everything; grant admin of an agent group instead")
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
    """Take a right away; False if the user did not have it. Of a global one the others stay."""
    connection.execute(
        """
        DELETE FROM user_roles
        WHERE user_id = :user_id AND role = :role AND agent_group_id IS :agent_group_id
        """,
        {"user_id": user_id, "role": role, "agent_group_id": agent_group_id},
    )
    return connection.changes() > 0


def for_user(connection: apsw.Connection, user_id: str) -> list[UserRole]:
    """A user's rights: owner first, then the global ones, then by agent group."""
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
    """All rights: owners first, then the global ones, then by agent group and user."""
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
    """Whether the user owns this installation."""
    row = connection.execute(
        "SELECT 1 FROM user_roles WHERE user_id = :user_id AND role = 'owner'", {"user_id": user_id}
    ).fetchone()
    return row is not None


def is_global_admin(connection: apsw.Connection, user_id: str) -> bool:
    """Whether the user is an admin of everything. An owner is not one by that alone."""
    row = connection.execute(
        """
        SELECT 1 FROM user_roles WHERE user_id = :user_id AND role = 'admin' AND agent_group_id IS NULL
        """,
        {"user_id": user_id},
    ).fetchone()
    return row is not None


def is_admin_of(connection: apsw.Connection, user_id: str, agent_group_id: str) -> bool:
    """Whether the user is an admin of that agent group itself."""
    row = connection.execute(
        """
        SELECT 1 FROM user_roles
        WHERE user_id = :user_id AND role = 'admin' AND agent_group_id = :agent_group_id
        """,
        {"user_id": user_id, "agent_group_id": agent_group_id},
    ).fetchone()
    return row is not None


def may_administer(connection: apsw.Connection, user_id: str, agent_group_id: str) -> bool:
    """Whether the user may decide for that agent group: an owner, a global admin, or an admin of it."""
    return user_id in admins(connection, agent_group_id)


def admins(connection: apsw.Connection, agent_group_id: str) -> list[str]:
    """All who may decide for an agent group: owners, global admins, admins of it.

    Owners come first, then global admins, then the oldest right.
    """
    found = connection.execute(
        """
        SELECT user_id FROM user_roles
        WHERE role = 'owner' OR (role = 'admin' AND coalesce(agent_group_id, :group) = :group)
        GROUP BY user_id
        ORDER BY
          max(role = 'owner') DESC, max(agent_group_id IS NULL) DESC, min(julianday(granted_at)), user_id
        """,
        {"group": agent_group_id},
    )
    return [str(user_id) for (user_id,) in found]
