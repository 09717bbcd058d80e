"""`messaging_groups`: the chats of the channels."""

from typing import TypedDict

import apsw

from nanoclaw.records import MessagingGroup, UnknownSenderPolicy
from nanoclaw.store import rows
from nanoclaw.store.errors import NotFound
from nanoclaw.store.references import refuse_if_referenced


class MessagingGroupChanges(TypedDict, total=False):
    """What of a chat may change. Its address is what it is known by."""

    name: str | None
    is_group: bool
    unknown_sender_policy: UnknownSenderPolicy


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


def require(connection: apsw.Connection, id_: str) -> MessagingGroup:
    """As `get`.

    Raises:
        NotFound: there is none.
    """
    found = get(connection, id_)
    if found is None:
        raise NotFound(f"there is no messaging group {id_!r}")
    return found


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


def every(connection: apsw.Connection) -> list[MessagingGroup]:
    """All of them, the oldest first."""
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
    """Change it; returns what it is now. Agents keep their own names for it.

    Raises:
        NotFound: there is none.
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
    (
        "wirings",
        """
        SELECT id || ' to agent group ' || agent_group_id FROM messaging_group_agents
        WHERE messaging_group_id = :id
        """,
    ),
    ("sessions", "SELECT id FROM sessions WHERE messaging_group_id = :id"),
    (
        "destinations",
        """
        SELECT local_name || ' of ' || agent_group_id FROM agent_destinations
        WHERE target_type = 'channel' AND target_id = :id AND wiring_id IS NULL
        """,
    ),
)


def delete(connection: apsw.Connection, id_: str) -> MessagingGroup:
    """Delete it, and forget whose direct chat it is.

    Raises:
        NotFound: there is none.
        StillReferenced: it has wirings or sessions, or is an agent's destination.
    """
    group = require(connection, id_)
    refuse_if_referenced(connection, f"messaging group {id_}", id_, _REFERENCES)
    connection.execute("DELETE FROM user_dms WHERE messaging_group_id = :id", {"id": id_})
    connection.execute("DELETE FROM messaging_groups WHERE id = :id", {"id": id_})
    return group
