"""`messaging_group_agents`: which agents listen to a chat, and how."""

import apsw

from nanoclaw.records import Wiring
from nanoclaw.store import destinations, rows


def create(connection: apsw.Connection, wiring: Wiring) -> None:
    """Insert it, and the destination by which its agent writes to that chat."""
    connection.execute(
        """
        INSERT INTO messaging_group_agents (
          id, messaging_group_id, agent_group_id, trigger_rules, response_scope, session_mode,
          priority, created_at
        )
        VALUES (
          :id, :messaging_group_id, :agent_group_id, :trigger_rules, :response_scope, :session_mode,
          :priority, :created_at
        )
        """,
        rows.values(wiring),
    )
    destinations.add_chat(connection, wiring.agent_group_id, wiring.messaging_group_id, wiring.created_at)


def for_chat(connection: apsw.Connection, messaging_group_id: str) -> list[Wiring]:
    """The wirings of a chat: the highest priority first, then the oldest."""
    return rows.many(
        Wiring,
        connection.execute(
            """
            SELECT id, messaging_group_id, agent_group_id, trigger_rules, coalesce(response_scope, 'all'),
              coalesce(session_mode, 'shared'), coalesce(priority, 0), created_at
            FROM messaging_group_agents
            WHERE messaging_group_id = :messaging_group_id
            ORDER BY coalesce(priority, 0) DESC, julianday(created_at), id
            """,
            {"messaging_group_id": messaging_group_id},
        ),
    )
