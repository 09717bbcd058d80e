"""Rows of `unregistered_senders`: messages and clicks that were dropped, counted by sender and reason."""

from datetime import datetime

import apsw

from nanoclaw.records import UnregisteredSender
from nanoclaw.store.engine import rows

KEPT = 10_000
"""Limit of rows. Above it those that were seen longest ago are deleted: others choose their number."""


def record(  # noqa: PLR0913 -- the columns of its row, by name
    connection: apsw.Connection,
    *,
    channel_type: str,
    platform_id: str,
    user_id: str | None,
    sender_name: str | None,
    reason: str,
    messaging_group_id: str | None,
    agent_group_id: str | None,
    now: datetime,
) -> None:
    """Count one message. All senders without a user id in a chat count as one sender."""
    where = (channel_type, platform_id, user_id, sender_name, reason, messaging_group_id, agent_group_id)
    add(connection, UnregisteredSender(*where, 1, now, now))


def add(connection: apsw.Connection, counted: UnregisteredSender) -> None:
    """Add a count to that of the same chat, sender and reason."""
    connection.execute(
        """
        INSERT INTO unregistered_senders (
          channel_type, platform_id, user_id, sender_name, reason, messaging_group_id, agent_group_id,
          message_count, first_seen, last_seen
        )
        VALUES (
          :channel_type, :platform_id, :user_id, :sender_name, :reason, :messaging_group_id, :agent_group_id,
          :message_count, :first_seen, :last_seen
        )
        ON CONFLICT (channel_type, platform_id, coalesce(user_id, ''), reason) DO UPDATE SET
          sender_name = coalesce(excluded.sender_name, sender_name),
          messaging_group_id = coalesce(excluded.messaging_group_id, messaging_group_id),
          agent_group_id = coalesce(excluded.agent_group_id, agent_group_id),
          message_count = message_count + excluded.message_count,
          last_seen = excluded.last_seen
        """,
        rows.values(counted),
    )


def forget_oldest(connection: apsw.Connection, keep: int = KEPT) -> None:
    """Delete the rows that were seen longest ago, beyond `keep`."""
    connection.execute(
        """
        DELETE FROM unregistered_senders WHERE rowid IN (
          SELECT rowid FROM unregistered_senders ORDER BY julianday(last_seen) DESC LIMIT -1 OFFSET :keep
        )
        """,
        {"keep": keep},
    )


def every(connection: apsw.Connection) -> list[UnregisteredSender]:
    """Return all rows, latest first."""
    return rows.many(
        UnregisteredSender,
        connection.execute(
            """
            SELECT channel_type, platform_id, user_id, sender_name, reason, messaging_group_id,
              agent_group_id, message_count, first_seen, last_seen
            FROM unregistered_senders
            ORDER BY julianday(last_seen) DESC, channel_type, platform_id, user_id, reason
            """
        ),
    )


def forget(
    connection: apsw.Connection, channel_type: str, platform_id: str, user_id: str | None
) -> list[str]:
    """Delete the rows of a sender in a chat, and return their reasons."""
    found = connection.execute(
        """
        DELETE FROM unregistered_senders
        WHERE channel_type = :channel_type AND platform_id = :platform_id AND user_id IS :user_id
        RETURNING reason
        """,
        {"channel_type": channel_type, "platform_id": platform_id, "user_id": user_id},
    )
    return sorted(str(reason) for (reason,) in found)
