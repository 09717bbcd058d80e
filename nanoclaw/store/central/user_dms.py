"""Rows of `user_dms`: the direct chat of a user on each channel, as reported by the platform."""

import apsw

from nanoclaw.records import UserDm
from nanoclaw.store.central import messaging_groups, users
from nanoclaw.store.engine import rows


def upsert(connection: apsw.Connection, dm: UserDm) -> None:
    """Store a user's direct chat. It replaces the one that the user had on this channel.

    Raises:
        NotFound: the user or the chat does not exist.
    """
    users.require(connection, dm.user_id)
    messaging_groups.require(connection, dm.messaging_group_id)
    connection.execute(
        """
        INSERT INTO user_dms (user_id, channel_type, messaging_group_id, resolved_at)
        VALUES (:user_id, :channel_type, :messaging_group_id, :resolved_at)
        ON CONFLICT (user_id, channel_type) DO UPDATE SET
          messaging_group_id = excluded.messaging_group_id, resolved_at = excluded.resolved_at
        """,
        rows.values(dm),
    )


def note_first(connection: apsw.Connection, dm: UserDm) -> None:
    """Store a user's first direct chat on a channel. A chat that is another user's is not noted."""
    if get(connection, dm.user_id, dm.channel_type) is None and not of_another(connection, dm):
        upsert(connection, dm)


def of_another(connection: apsw.Connection, dm: UserDm) -> bool:
    """Return whether the chat is stored as the direct chat of another user."""
    return bool(
        connection.execute(
            """
            SELECT EXISTS (SELECT 1 FROM user_dms WHERE messaging_group_id = :chat AND user_id <> :user)
            """,
            {"chat": dm.messaging_group_id, "user": dm.user_id},
        ).get
    )


def networks_of(connection: apsw.Connection, user_id: str) -> frozenset[str]:
    """Return the networks on which a user has a direct chat."""
    found = connection.execute("SELECT channel_type FROM user_dms WHERE user_id = ?", (user_id,))
    return frozenset(str(network) for (network,) in found)


def is_direct(connection: apsw.Connection, messaging_group_id: str) -> bool:
    """Return whether a chat is noted as the direct chat of a user."""
    sql = "SELECT EXISTS (SELECT 1 FROM user_dms WHERE messaging_group_id = ?)"
    return bool(connection.execute(sql, (messaging_group_id,)).get)


def get(connection: apsw.Connection, user_id: str, channel_type: str) -> UserDm | None:
    """Return a user's direct chat on a channel, or None."""
    return rows.one(
        UserDm,
        connection.execute(
            """
            SELECT user_id, channel_type, messaging_group_id, resolved_at FROM user_dms
            WHERE user_id = :user_id AND channel_type = :channel_type
            """,
            {"user_id": user_id, "channel_type": channel_type},
        ),
    )


require = rows.required(get, "user {!r} has no direct chat on channel {!r}")
"""Return a user's direct chat on a channel, or raise `NotFound`."""


def for_user(connection: apsw.Connection, user_id: str) -> list[UserDm]:
    """Return a user's direct chats, ordered by channel."""
    return rows.many(
        UserDm,
        connection.execute(
            """
            SELECT user_id, channel_type, messaging_group_id, resolved_at FROM user_dms
            WHERE user_id = :user_id ORDER BY channel_type
            """,
            {"user_id": user_id},
        ),
    )


def delete(connection: apsw.Connection, user_id: str, channel_type: str) -> UserDm:
    """Delete a direct chat and return it. The next use asks the platform again.

    Raises:
        NotFound: the user has no direct chat on this channel.
    """
    found = require(connection, user_id, channel_type)
    connection.execute(
        "DELETE FROM user_dms WHERE user_id = :user_id AND channel_type = :channel_type",
        {"user_id": user_id, "channel_type": channel_type},
    )
    return found
