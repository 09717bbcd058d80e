"""Rows of `agent_groups`: the agents. Each agent has a folder of its own."""

from typing import TypedDict

import apsw

from nanoclaw.records import AgentGroup
from nanoclaw.store.central import budgets
from nanoclaw.store.central.references import WIRING_NAMES, refuse_if_referenced
from nanoclaw.store.engine import rows
from nanoclaw.store.engine.errors import NotAllowed
from nanoclaw.store.engine.names import is_component

SHARED_FOLDER = "global"
"""Folder below the groups directory that holds the memory shared by all agents (contract 1)."""


class AgentGroupChanges(TypedDict, total=False):
    """Changeable fields of an agent group. The folder cannot change, because it holds the files."""

    name: str
    agent_provider: str | None


def create(connection: apsw.Connection, group: AgentGroup) -> None:
    """Insert an agent group. A folder that is taken raises `Conflict`.

    Raises:
        NotAllowed: the folder is not a valid folder name, or is the shared folder.
    """
    if not is_component(group.folder) or group.folder == SHARED_FOLDER:
        raise NotAllowed(
            f"agent group folder {group.folder!r} is not allowed: use 1 to 128 letters, digits, `-`, `_` and "
            f"`.`, no dot in front, and not {SHARED_FOLDER!r}"
        )
    connection.execute(
        """
        INSERT INTO agent_groups (id, name, folder, agent_provider, created_at)
        VALUES (:id, :name, :folder, :agent_provider, :created_at)
        """,
        rows.values(group),
    )


def get(connection: apsw.Connection, id_: str) -> AgentGroup | None:
    """Return the agent group with this id, or None."""
    return rows.one(
        AgentGroup,
        connection.execute(
            "SELECT id, name, folder, agent_provider, created_at FROM agent_groups WHERE id = :id",
            {"id": id_},
        ),
    )


require = rows.required(get, "there is no agent group {!r}")
"""Return the agent group with this id, or raise `NotFound`."""


def by_folder(connection: apsw.Connection, folder: str) -> AgentGroup | None:
    """Return the agent group with this folder, or None."""
    return rows.one(
        AgentGroup,
        connection.execute(
            "SELECT id, name, folder, agent_provider, created_at FROM agent_groups WHERE folder = :folder",
            {"folder": folder},
        ),
    )


def in_chat(
    connection: apsw.Connection, messaging_group_id: str
) -> tuple[list[AgentGroup], list[rows.DamagedRow]]:
    """Return the agent groups that are wired to a chat, and the errors about those that cannot be read."""
    found = connection.execute(
        """
        SELECT id, name, folder, agent_provider, created_at FROM agent_groups
        WHERE id IN (SELECT agent_group_id FROM messaging_group_agents WHERE messaging_group_id = :chat)
        """,
        {"chat": messaging_group_id},
    )
    return rows.split(AgentGroup, found)


def every(connection: apsw.Connection) -> list[AgentGroup]:
    """Return all agent groups, oldest first."""
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
    """Change an agent group and return the new state.

    Raises:
        NotFound: no agent group has this id.
    """
    group = rows.changed(require(connection, id_), AgentGroupChanges, changes)
    connection.execute(
        "UPDATE agent_groups SET name = :name, agent_provider = :agent_provider WHERE id = :id",
        rows.values(group),
    )
    return group


_REFERENCES = (
    ("wirings", f"{WIRING_NAMES} WHERE wiring.agent_group_id = :id"),
    ("sessions", "SELECT id FROM sessions WHERE agent_group_id = :id"),
    (
        "pending approvals",
        """
        SELECT approval_id FROM pending_approvals
        WHERE agent_group_id = :id AND status = 'pending' AND action <> 'network'
        """,
    ),
    (
        "destinations",
        """
        SELECT destination.local_name || ' of agent ' || agent.folder
        FROM agent_destinations AS destination JOIN agent_groups AS agent ON agent.id = agent_group_id
        WHERE target_type = 'agent' AND target_id = :id AND agent_group_id <> :id
        """,
    ),
)


def delete(connection: apsw.Connection, id_: str) -> AgentGroup:
    """Delete an agent group with all that it owns (contract 3). Its folder stays on disk.

    Raises:
        NotFound: no agent group has this id.
        StillReferenced: it has wirings, sessions or pending approvals, or is another agent's destination.
    """
    group = require(connection, id_)
    refuse_if_referenced(connection, f"agent {group.folder}", id_, _REFERENCES)
    for owned in (
        "DELETE FROM agent_group_members WHERE agent_group_id = :id",
        "DELETE FROM user_roles WHERE agent_group_id = :id",
        "DELETE FROM agent_destinations WHERE agent_group_id = :id",
        "DELETE FROM pending_approvals WHERE agent_group_id = :id",
        "DELETE FROM network_sites WHERE agent_group_id = :id",
        "DELETE FROM refusals WHERE agent_group_id = :id",
        "DELETE FROM agent_groups WHERE id = :id",
    ):
        connection.execute(owned, {"id": id_})
    budgets.forget_scope(connection, f"agent:{id_}")
    return group
