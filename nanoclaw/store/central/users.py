"""Rows of `users`: identities on platforms."""

from typing import TypedDict

import apsw

from nanoclaw.records import User
from nanoclaw.store.central import held_messages, people
from nanoclaw.store.central.references import refuse_if_referenced
from nanoclaw.store.engine import rows


class UserChanges(TypedDict, total=False):
    """Changeable fields of a user."""

    display_name: str | None


def create(connection: apsw.Connection, user: User) -> None:
    """Insert a user. An id that exists raises `Conflict`."""
    connection.execute(
        """
        INSERT INTO users (id, kind, display_name, created_at)
        VALUES (:id, :kind, :display_name, :created_at)
        """,
        rows.values(user),
    )


def upsert(connection: apsw.Connection, user: User) -> None:
    """Insert a user, or update the display name if one is given. Kind and creation time stay."""
    connection.execute(
        """
        INSERT INTO users (id, kind, display_name, created_at)
        VALUES (:id, :kind, :display_name, :created_at)
        ON CONFLICT (id) DO UPDATE SET display_name = coalesce(excluded.display_name, display_name)
        """,
        rows.values(user),
    )


def get(connection: apsw.Connection, id_: str) -> User | None:
    """Return the user with this id, or None."""
    return rows.one(
        User,
        connection.execute(
            "SELECT id, kind, display_name, created_at FROM users WHERE id = :id", {"id": id_}
        ),
    )


require = rows.required(get, "there is no user {!r}")
"""Return the user with this id, or raise `NotFound`."""


def every(connection: apsw.Connection) -> list[User]:
    """Return all users, oldest first."""
    return rows.many(
        User,
        connection.execute(
            "SELECT id, kind, display_name, created_at FROM users ORDER BY julianday(created_at), id"
        ),
    )


def update(connection: apsw.Connection, id_: str, changes: UserChanges) -> User:
    """Change a user and return the new state.

    Raises:
        NotFound: no user has this id.
    """
    user = rows.changed(require(connection, id_), UserChanges, changes)
    connection.execute("UPDATE users SET display_name = :display_name WHERE id = :id", rows.values(user))
    return user


_REFERENCES = (
    (
        "rights granted to",
        "SELECT DISTINCT user_id FROM user_roles WHERE granted_by = :id AND user_id <> :id",
    ),
    (
        "memberships given to",
        "SELECT DISTINCT user_id FROM agent_group_members WHERE added_by = :id AND user_id <> :id",
    ),
)


def name_of(connection: apsw.Connection, id_: str) -> str:
    """Return the name of a user for people: the display name, or the id of one without a name or row."""
    user = get(connection, id_)
    return id_ if user is None else user.display_name or id_


def delete(connection: apsw.Connection, id_: str) -> User:
    """Delete a user with their roles, memberships, `user_dms` and link, and what is held or refused of them.

    Held messages are counted as dropped.

    Raises:
        NotFound: no user has this id.
        StillReferenced: the user granted roles or memberships to others.
    """
    user = require(connection, id_)
    refuse_if_referenced(connection, f"user {id_}", id_, _REFERENCES)
    people.forget(connection, id_)
    held_messages.drop(connection, held_messages.SENDER_GONE, user_id=id_)
    for owned in (
        "DELETE FROM refusals WHERE user_id = :id",
        "DELETE FROM user_roles WHERE user_id = :id",
        "DELETE FROM agent_group_members WHERE user_id = :id",
        "DELETE FROM user_dms WHERE user_id = :id",
        "DELETE FROM users WHERE id = :id",
    ):
        connection.execute(owned, {"id": id_})
    return user
