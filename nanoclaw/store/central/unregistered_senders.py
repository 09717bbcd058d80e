"""Rows of `unregistered_senders`: senders who were not admitted, counted by sender and reason."""

from datetime import datetime

import apsw

from nanoclaw.records import UnregisteredSender
from nanoclaw.store.engine import rows
from nanoclaw.store.engine.times import to_text


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
    connection.execute(
        """
        INSERT INTO unregistered_senders (
          channel_type, platform_id, user_id, sender_name, reason, messaging_group_id, agent_group_id,
          message_count, first_seen, last_seen
        )
        VALUES (
          :channel_type, :platform_id, :user_id, :sender_name, :reason, :messaging_group_id, :agent_group_id,
          1, :now, :now
        )
        ON CONFLICT (channel_type, platform_id, coalesce(user_id, ''), reason) DO UPDATE SET
          sender_name = coalesce(excluded.sender_name, sender_name),
          messaging_group_id = coalesce(excluded.messaging_group_id, messaging_group_id),
          agent_group_id = coalesce(excluded.agent_group_id, agent_group_id),
          message_count = message_count + 1,
          last_seen = excluded.last_seen
        """,
        {
            "channel_type": channel_type,
            "platform_id": platform_id,
            "user_id": user_id,
            "sender_name": sender_name,
            "reason": reason,
            "messaging_group_id": messaging_group_id,
            "agent_group_id": agent_group_id,
            "now": to_text(now),
        },
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
