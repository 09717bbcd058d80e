"""`destinations` and `session_routing`: the session's projections of the central database (contract 4)."""

from collections.abc import Sequence

import apsw
from attrs import frozen

from nanoclaw.records import Address, Destination
from nanoclaw.store.central import user_roles
from nanoclaw.store.central.destinations import for_agent
from nanoclaw.store.engine import rows


@frozen
class CentralView:
    """The parts of the central database that a session needs at each wake."""

    destinations: tuple[Destination, ...]
    admin_ids: tuple[str, ...]


def central_view(connection: apsw.Connection, agent_group_id: str) -> CentralView:
    """Read the view from `v2.db`. One transaction makes it consistent."""
    return CentralView(
        tuple(for_agent(connection, agent_group_id)),
        tuple(user_roles.admins(connection, agent_group_id)),
    )


def write_destinations(connection: apsw.Connection, destinations: Sequence[Destination]) -> None:
    """Replace all destinations."""
    connection.execute("DELETE FROM destinations")
    connection.executemany(
        """
        INSERT INTO destinations (name, display_name, type, channel_type, platform_id, agent_group_id)
        VALUES (?, ?, ?, ?, ?, ?)
        """,
        [
            (d.name, d.display_name, d.type, d.channel_type, d.platform_id, d.agent_group_id)
            for d in destinations
        ],
    )


def destinations(connection: apsw.Connection) -> list[Destination]:
    """Return the session's destinations, ordered by name."""
    return rows.many(
        Destination,
        connection.execute(
            """
            SELECT name, display_name, type, channel_type, platform_id, agent_group_id FROM destinations
            ORDER BY name
            """
        ),
    )


def write_routing(connection: apsw.Connection, address: Address | None) -> None:
    """Set the address of messages that name no destination. None keeps the old address."""
    if address is not None:
        connection.execute(
            """
            INSERT OR REPLACE INTO session_routing (id, channel_type, platform_id, thread_id)
            VALUES (1, ?, ?, ?)
            """,
            (address.channel_type, address.platform_id, address.thread_id),
        )


def routing(connection: apsw.Connection) -> Address | None:
    """Return the session's default address, or None."""
    row = connection.execute("SELECT channel_type, platform_id, thread_id FROM session_routing").fetchone()
    return Address(*row) if row and row[0] and row[1] else None
