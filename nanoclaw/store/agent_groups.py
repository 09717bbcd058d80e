"""`agent_groups`: the agents, each with its folder."""

import apsw

from nanoclaw.records import AgentGroup
from nanoclaw.store import rows


def create(connection: apsw.Connection, group: AgentGroup) -> None:
    """Insert it; its folder must be its alone."""
    connection.execute(
        """
        INSERT INTO agent_groups (id, name, folder, agent_provider, created_at)
        VALUES (:id, :name, :folder, :agent_provider, :created_at)
        """,
        rows.values(group),
    )


def get(connection: apsw.Connection, id_: str) -> AgentGroup | None:
    """The agent group with that id."""
    return rows.one(
        AgentGroup,
        connection.execute(
            "SELECT id, name, folder, agent_provider, created_at FROM agent_groups WHERE id = :id",
            {"id": id_},
        ),
    )


def by_folder(connection: apsw.Connection, folder: str) -> AgentGroup | None:
    """The agent group that lives in that folder."""
    return rows.one(
        AgentGroup,
        connection.execute(
            "SELECT id, name, folder, agent_provider, created_at FROM agent_groups WHERE folder = :folder",
            {"folder": folder},
        ),
    )


def every(connection: apsw.Connection) -> list[AgentGroup]:
    """All of them, the oldest first."""
    return rows.many(
        AgentGroup,
        connection.execute(
            "SELECT id, name, folder, agent_provider, created_at FROM agent_groups ORDER BY created_at, id"
        ),
    )
