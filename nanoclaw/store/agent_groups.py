"""`agent_groups`: the agents, each with its folder."""

from typing import TypedDict

import apsw

from nanoclaw.records import AgentGroup
from nanoclaw.store import rows
from nanoclaw.store.errors import NotAllowed, NotFound
from nanoclaw.store.names import is_component
from nanoclaw.store.references import refuse_if_referenced

SHARED_FOLDER = "global"
"""Below the groups directory this is the memory of all agents (contract 1)."""


class AgentGroupChanges(TypedDict, total=False):
    """What of an agent group may change. Not its folder: that is where its files are."""

    name: str
    agent_provider: str | None


def create(connection: apsw.Connection, group: AgentGroup) -> None:
    """Insert it; its folder must be its alone.

    Raises:
        NotAllowed: its folder is no name for a folder, or the shared one's.
    """
    if not is_component(group.folder) or group.folder == SHARED_FOLDER:
        raise NotAllowed(
            f"folder {group.folder!r} cannot be an agent group's: take letters, digits, `-`, `_` and `.`, "
            f"not a dot in front, and not {SHARED_FOLDER!r}"
        )
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


def require(connection: apsw.Connection, id_: str) -> AgentGroup:
    """As `get`.

    Raises:
        NotFound: there is none.
    """
    found = get(connection, id_)
    if found is None:
        raise NotFound(f"there is no agent group {id_!r}")
    return found


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
            """
            SELECT id, name, folder, agent_provider, created_at FROM agent_groups
            ORDER BY julianday(created_at), id
            """
        ),
    )


def update(connection: apsw.Connection, id_: str, changes: AgentGroupChanges) -> AgentGroup:
    """Change it; returns what it is now.

    Raises:
        NotFound: there is none.
    """
    group = rows.changed(require(connection, id_), AgentGroupChanges, changes)
    connection.execute(
        "UPDATE agent_groups SET name = :name, agent_provider = :agent_provider WHERE id = :id",
        rows.values(group),
    )
    return group


_REFERENCES = (
    ("wirings", "SELECT id FROM messaging_group_agents WHERE agent_group_id = :id"),
    ("sessions", "SELECT id FROM sessions WHERE agent_group_id = :id"),
    (
        "pending approvals",
        "SELECT approval_id FROM pending_approvals WHERE agent_group_id = :id AND status = 'pending'",
    ),
    (
        "destinations",
        """
        SELECT local_name || ' of ' || agent_group_id FROM agent_destinations
        WHERE target_type = 'agent' AND target_id = :id AND agent_group_id <> :id
        """,
    ),
)


def delete(connection: apsw.Connection, id_: str) -> AgentGroup:
    """Delete it with its members, the rights in it, its destinations and decided approvals; its folder stays.

    Raises:
        NotFound: there is none.
        StillReferenced: it has wirings, sessions or pending approvals, or is another agent's destination.
    """
    group = require(connection, id_)
    refuse_if_referenced(connection, f"agent group {id_}", id_, _REFERENCES)
    for owned in (
        "DELETE FROM agent_group_members WHERE agent_group_id = :id",
        "DELETE FROM user_roles WHERE agent_group_id = :id",
        "DELETE FROM agent_destinations WHERE agent_group_id = :id",
        "DELETE FROM pending_approvals WHERE agent_group_id = :id",
        "DELETE FROM agent_groups WHERE id = :id",
    ):
        connection.execute(owned, {"id": id_})
    return group
