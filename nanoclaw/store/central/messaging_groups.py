"""Rows of `messaging_groups`: the chats of all channels."""

from typing import TypedDict

import apsw

from nanoclaw.records import MessagingGroup, UnknownSenderPolicy
from nanoclaw.store.central import held_messages
from nanoclaw.store.central.references import WIRING_NAMES, refuse_if_referenced
from nanoclaw.store.engine import rows


class MessagingGroupChanges(TypedDict, total=False):
    """Changeable fields of a chat. Its address identifies it and cannot change."""

    name: str | None
    is_group: bool
    unknown_sender_policy: UnknownSenderPolicy


def create(connection: apsw.Connection, group: MessagingGroup) -> None:
    """Insert a chat. An address (channel type, platform id) that has a chat already raises `Conflict`."""
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
    """Return the chat with this id, or None."""
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


require = rows.required(get, "there is no messaging group {!r}")
"""Return the chat with this id, or raise `NotFound`."""


def by_address(connection: apsw.Connection, channel_type: str, platform_id: str) -> MessagingGroup | None:
    """Return the chat at this address, or None."""
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


def every(connection: apsw.Connection) -> list[MessagingGroup]:
    """Return all chats, oldest first."""
    return rows.many(
        MessagingGroup,
        connection.execute(
            """
            SELECT id, channel_type, platform_id, name, is_group, unknown_sender_policy, created_at
            FROM messaging_groups ORDER BY julianday(created_at), id
            """
        ),
    )


def update(connection: apsw.Connection, id_: str, changes: MessagingGroupChanges) -> MessagingGroup:
    """Change a chat and return the new state. Agents keep their names for it.

    Raises:
        NotFound: no chat has this id.
    """
    group = rows.changed(require(connection, id_), MessagingGroupChanges, changes)
    connection.execute(
        """
        UPDATE messaging_groups
        SET name = :name, is_group = :is_group, unknown_sender_policy = :unknown_sender_policy
        WHERE id = :id
        """,
        rows.values(group),
    )
    return group


_REFERENCES = (
    ("wirings", f"{WIRING_NAMES} WHERE wiring.messaging_group_id = :id"),
    ("sessions", "SELECT id FROM sessions WHERE messaging_group_id = :id"),
    (
        "destinations",
        """
        SELECT destination.local_name || ' of agent ' || agent.folder
        FROM agent_destinations AS destination JOIN agent_groups AS agent ON agent.id = agent_group_id
        WHERE target_type = 'channel' AND target_id = :id AND wiring_id IS NULL
        """,
    ),
)


def delete(connection: apsw.Connection, id_: str) -> MessagingGroup:
    """Delete a chat with the `user_dms` rows that lead to it, and what is held or refused in it.

    Held messages are counted as dropped.

    Raises:
        NotFound: no chat has this id.
        StillReferenced: it has wirings or sessions, or is an agent's destination.
    """
    group = require(connection, id_)
    refuse_if_referenced(connection, f"chat {group.channel_type}:{group.platform_id}", id_, _REFERENCES)
    held_messages.drop(connection, held_messages.CHAT_GONE, messaging_group_id=id_)
    for owned in (
        "DELETE FROM user_dms WHERE messaging_group_id = :id",
        "DELETE FROM refusals WHERE messaging_group_id = :id",
        "DELETE FROM messaging_groups WHERE id = :id",
    ):
        connection.execute(owned, {"id": id_})
    return group
