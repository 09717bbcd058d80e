"""`messaging_groups`: the chats of the channels."""

import apsw

from nanoclaw.records import MessagingGroup, UnknownSenderPolicy
from nanoclaw.store import rows


def create(connection: apsw.Connection, group: MessagingGroup) -> None:
    """Insert it; an address (channel, platform id) is one chat."""
    connection.execute(
        """
        INSERT INTO messaging_groups (
          id, channel_type, platform_id, name, is_group, unknown_sender_policy, created_at
        )
        VALUES (:id, :channel_type, :platform_id, :name, :is_group, :unknown_sender_policy, :created_at)
        """,
        rows.values(group),
    )


def get(connection: apsw.Connection, id_: str) -> MessagingGroup | None:
    """The chat with that id."""
    return rows.one(
        MessagingGroup,
        connection.execute(
            """
            SELECT id, channel_type, platform_id, name, is_group, unknown_sender_policy, created_at
            FROM messaging_groups WHERE id = :id
            """,
            {"id": id_},
        ),
    )


def by_address(connection: apsw.Connection, channel_type: str, platform_id: str) -> MessagingGroup | None:
    """The chat at that address."""
    return rows.one(
        MessagingGroup,
        connection.execute(
            """
            SELECT id, channel_type, platform_id, name, is_group, unknown_sender_policy, created_at
            FROM messaging_groups WHERE channel_type = :channel_type AND platform_id = :platform_id
            """,
            {"channel_type": channel_type, "platform_id": platform_id},
        ),
    )


def set_policy(connection: apsw.Connection, id_: str, policy: UnknownSenderPolicy) -> None:
    """Say what becomes of senders that are not known."""
    connection.execute(
        "UPDATE messaging_groups SET unknown_sender_policy = :policy WHERE id = :id",
        {"id": id_, "policy": policy},
    )
