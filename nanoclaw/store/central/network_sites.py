"""Rows of `network_sites`, and of `pending_approvals` that ask about a site: action `network`."""

import apsw

from nanoclaw.records import PendingApproval
from nanoclaw.records.network import NetworkSite
from nanoclaw.store.central import pending_approvals
from nanoclaw.store.engine import rows
from nanoclaw.store.engine.rows import DamagedRow

ACTION = "network"
"""The action of approvals that ask about a site. Their `request_id` is the site."""

_SELECT = "SELECT agent_group_id, site, decision, decided_by, decided_at FROM network_sites"


def put(connection: apsw.Connection, row: NetworkSite) -> None:
    """Store a decision. It replaces the one that there was about this agent and site."""
    connection.execute(
        """
        INSERT INTO network_sites (agent_group_id, site, decision, decided_by, decided_at)
        VALUES (:agent_group_id, :site, :decision, :decided_by, :decided_at)
        ON CONFLICT (agent_group_id, site) DO UPDATE
        SET decision = excluded.decision, decided_by = excluded.decided_by, decided_at = excluded.decided_at
        """,
        rows.values(row),
    )


def every(connection: apsw.Connection) -> list[NetworkSite]:
    """Return all decisions. Rows that cannot be read are left out."""
    return rows.many(NetworkSite, connection.execute(f"{_SELECT} ORDER BY agent_group_id, site"))


def damaged(connection: apsw.Connection) -> list[DamagedRow]:
    """Return the errors about the rows that cannot be read."""
    return rows.damaged(NetworkSite, connection.execute(_SELECT))


def forget(connection: apsw.Connection, agent_group_id: str, site: str) -> bool:
    """Delete a decision. Return False if there is none."""
    connection.execute(
        "DELETE FROM network_sites WHERE agent_group_id = ? AND site = ?", (agent_group_id, site)
    )
    return connection.changes() > 0


# -- questions -----------------------------------------------------------------


def questions(connection: apsw.Connection, agent_group_id: str | None = None) -> list[PendingApproval]:
    """Return the open questions about sites, of one agent or of all, the oldest first."""
    found = pending_approvals.for_action(connection, ACTION)
    return [each for each in found if agent_group_id in (None, each.agent_group_id)]
