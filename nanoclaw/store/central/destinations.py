"""Rows of `agent_destinations`: the chats and agents that an agent may send to, and its names for them."""

from datetime import datetime

import apsw
from attrs import evolve

from nanoclaw.records import AGENT, Address, AgentDestination, Destination, DestinationType
from nanoclaw.store.central import agent_groups, messaging_groups
from nanoclaw.store.engine import rows
from nanoclaw.store.engine.errors import NotAllowed
from nanoclaw.store.engine.slugs import distinct, name_of_chat, slug

_SELECT = """
    SELECT agent_group_id, local_name, target_type, target_id, created_at, wiring_id
    FROM agent_destinations
"""


# -- making --------------------------------------------------------------------


def create(connection: apsw.Connection, destination: AgentDestination) -> None:
    """Insert a destination. A name that is taken raises `Conflict`.

    Raises:
        NotFound: the agent group or the target does not exist.
        NotAllowed: the name contains anything but a-z, 0-9 and single `-` between them.
    """
    if not destination.local_name or slug(destination.local_name) != destination.local_name:
        raise NotAllowed(
            f"destination name {destination.local_name!r} is not allowed: "
            "use a-z and 0-9, with single `-` between"
        )
    agent_groups.require(connection, destination.agent_group_id)
    if destination.target_type == "channel":
        messaging_groups.require(connection, destination.target_id)
    else:
        agent_groups.require(connection, destination.target_id)
    connection.execute(
        """
        INSERT INTO agent_destinations (
          agent_group_id, local_name, target_type, target_id, created_at, wiring_id
        )
        VALUES (:agent_group_id, :local_name, :target_type, :target_id, :created_at, :wiring_id)
        """,
        rows.values(destination),
    )


def free_name(
    connection: apsw.Connection, agent_group_id: str, target_type: DestinationType, target_id: str
) -> str:
    """Return a name that the agent does not use yet, made from the name of the target chat or agent.

    Raises:
        NotFound: the target does not exist.
    """
    if target_type == "channel":
        chat = messaging_groups.require(connection, target_id)
        base = name_of_chat(chat.name, chat.channel_type, chat.platform_id)
    else:
        agent = agent_groups.require(connection, target_id)
        base = slug(agent.name) or slug(agent.folder) or AGENT
    return distinct(base, {found.local_name for found in of_agent(connection, agent_group_id)})


def add_chat(
    connection: apsw.Connection,
    agent_group_id: str,
    messaging_group_id: str,
    now: datetime,
    wiring_id: str | None = None,
) -> None:
    """Add a destination for the chat, named after it, unless the agent has one already (contract 3)."""
    there = to_target(connection, "channel", messaging_group_id)
    if not any(destination.agent_group_id == agent_group_id for destination in there):
        name = free_name(connection, agent_group_id, "channel", messaging_group_id)
        create(
            connection,
            AgentDestination(agent_group_id, name, "channel", messaging_group_id, now, wiring_id),
        )


# -- finding -------------------------------------------------------------------


def get(connection: apsw.Connection, agent_group_id: str, local_name: str) -> AgentDestination | None:
    """Return the destination with this name, or None."""
    return rows.one(
        AgentDestination,
        connection.execute(
            f"{_SELECT} WHERE agent_group_id = :agent AND local_name = :name",
            {"agent": agent_group_id, "name": local_name},
        ),
    )


require = rows.required(get, "agent group {!r} has no destination {!r}")
"""Return the destination with this name, or raise `NotFound`."""


def of_agent(connection: apsw.Connection, agent_group_id: str) -> list[AgentDestination]:
    """Return the destination rows of an agent, ordered by name."""
    return rows.many(
        AgentDestination,
        connection.execute(
            f"{_SELECT} WHERE agent_group_id = :agent ORDER BY local_name", {"agent": agent_group_id}
        ),
    )


def to_target(
    connection: apsw.Connection, target_type: DestinationType, target_id: str
) -> list[AgentDestination]:
    """Return all destinations that lead to this target, ordered by agent and name."""
    return rows.many(
        AgentDestination,
        connection.execute(
            f"""
            {_SELECT} WHERE target_type = :type AND target_id = :id ORDER BY agent_group_id, local_name
            """,
            {"type": target_type, "id": target_id},
        ),
    )


def for_agent(connection: apsw.Connection, agent_group_id: str) -> list[Destination]:
    """Return the destinations of an agent, each with its chat or agent, ordered by name."""
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
    """Return whether the agent may send to this address. It may always send to itself."""
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


# -- changing ------------------------------------------------------------------


def keep(
    connection: apsw.Connection,
    agent_group_id: str,
    local_name: str,
    target_type: DestinationType,
    target_id: str,
) -> AgentDestination | None:
    """Detach a destination with this name and target from its wiring. Return it, or None if there is none."""
    found = get(connection, agent_group_id, local_name)
    if found is None or (found.target_type, found.target_id) != (target_type, target_id):
        return None
    connection.execute(
        """
        UPDATE agent_destinations SET wiring_id = NULL
        WHERE agent_group_id = :agent AND local_name = :name
        """,
        {"agent": agent_group_id, "name": local_name},
    )
    return evolve(found, wiring_id=None)


def rename(
    connection: apsw.Connection, agent_group_id: str, local_name: str, new_name: str
) -> AgentDestination:
    """Rename a destination and return it. A name that is taken raises `Conflict`.

    Raises:
        NotFound: the agent has no destination with this name.
        NotAllowed: the new name contains anything but a-z, 0-9 and single `-` between them.
    """
    destination = delete(connection, agent_group_id, local_name)
    renamed = evolve(destination, local_name=new_name)
    create(connection, renamed)
    return renamed


def delete(connection: apsw.Connection, agent_group_id: str, local_name: str) -> AgentDestination:
    """Delete a destination and return it. A session may still send to its own chat.

    Raises:
        NotFound: the agent has no destination with this name.
    """
    destination = require(connection, agent_group_id, local_name)
    connection.execute(
        "DELETE FROM agent_destinations WHERE agent_group_id = :agent AND local_name = :name",
        {"agent": agent_group_id, "name": local_name},
    )
    return destination
