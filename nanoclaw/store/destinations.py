"""`agent_destinations`: where an agent may send, and by which names."""

from datetime import datetime

import apsw

from nanoclaw.records import Address, Destination
from nanoclaw.store import rows
from nanoclaw.store.slugs import distinct, name_of_chat
from nanoclaw.store.times import to_text

AGENT = "agent"
"""The channel type of messages from agent to agent; the platform id is an agent group's id."""


def add_chat(
    connection: apsw.Connection, agent_group_id: str, messaging_group_id: str, now: datetime
) -> None:
    """Let the agent write to a chat, by a name made of the chat's; nothing happens if it already may."""
    row = connection.execute(
        """
        SELECT name, channel_type, platform_id FROM messaging_groups g
        WHERE id = :chat AND NOT EXISTS (
          SELECT 1 FROM agent_destinations
          WHERE agent_group_id = :agent AND target_type = 'channel' AND target_id = g.id
        )
        """,
        {"agent": agent_group_id, "chat": messaging_group_id},
    ).fetchone()
    if row is None:
        return
    connection.execute(
        """
        INSERT INTO agent_destinations (agent_group_id, local_name, target_type, target_id, created_at)
        VALUES (:agent, :name, 'channel', :chat, :now)
        """,
        {
            "agent": agent_group_id,
            "name": distinct(name_of_chat(*row), _names(connection, agent_group_id)),
            "chat": messaging_group_id,
            "now": to_text(now),
        },
    )


def for_agent(connection: apsw.Connection, agent_group_id: str) -> list[Destination]:
    """All destinations of an agent, by name, with the chat or agent behind each."""
    return rows.many(
        Destination,
        connection.execute(
            """
            SELECT d.local_name, coalesce(g.name, a.name), d.target_type, g.channel_type, g.platform_id, a.id
            FROM agent_destinations d
            LEFT JOIN messaging_groups g ON d.target_type = 'channel' AND g.id = d.target_id
            LEFT JOIN agent_groups a ON d.target_type = 'agent' AND a.id = d.target_id
            WHERE d.agent_group_id = :agent AND (g.id IS NOT NULL OR a.id IS NOT NULL)
            ORDER BY d.local_name
            """,
            {"agent": agent_group_id},
        ),
    )


def allows(connection: apsw.Connection, agent_group_id: str, address: Address) -> bool:
    """Whether the agent has a destination at that address. Itself it may always write to."""
    if address == Address(AGENT, agent_group_id):
        return True
    row = connection.execute(
        """
        SELECT 1 FROM agent_destinations d
        LEFT JOIN messaging_groups g ON d.target_type = 'channel' AND g.id = d.target_id
        WHERE d.agent_group_id = :agent AND (
          (g.channel_type = :channel_type AND g.platform_id = :platform_id)
          OR (d.target_type = 'agent' AND :channel_type = 'agent' AND d.target_id = :platform_id)
        )
        """,
        {"agent": agent_group_id, "channel_type": address.channel_type, "platform_id": address.platform_id},
    ).fetchone()
    return row is not None


def _names(connection: apsw.Connection, agent_group_id: str) -> set[str]:
    found = connection.execute(
        "SELECT local_name FROM agent_destinations WHERE agent_group_id = :agent", {"agent": agent_group_id}
    )
    return {str(name) for (name,) in found}
