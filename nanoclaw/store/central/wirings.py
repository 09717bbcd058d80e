"""Rows of `messaging_group_agents`: the wirings, which say how an agent listens to a chat."""

from collections.abc import Mapping
from typing import TypedDict

import apsw

from nanoclaw.records import ResponseScope, SessionMode, Wiring
from nanoclaw.store.central import agent_groups, destinations, messaging_groups, refusals
from nanoclaw.store.engine import rows
from nanoclaw.store.engine.rows import DamagedRow

UNREADABLE = "unreadable"
"""The only key of the rules of a row that has no JSON object. It is no rule, so the wiring hears nobody."""

_SELECT = """
    SELECT id, messaging_group_id, agent_group_id,
      CASE
        WHEN trigger_rules IS NULL OR trigger_rules = '' THEN '{}'
        WHEN typeof(trigger_rules) <> 'text' THEN json_object('unreadable', typeof(trigger_rules))
        WHEN json_valid(trigger_rules) AND json_type(trigger_rules) = 'object' THEN trigger_rules
        ELSE json_object('unreadable', trigger_rules)
      END,
      coalesce(response_scope, 'all'), coalesce(session_mode, 'shared'), coalesce(priority, 0), created_at
    FROM messaging_group_agents
"""


class WiringChanges(TypedDict, total=False):
    """Changeable fields of a wiring. Its chat and its agent cannot change."""

    trigger_rules: Mapping[str, object]
    response_scope: ResponseScope
    session_mode: SessionMode
    priority: int


def create(connection: apsw.Connection, wiring: Wiring) -> None:
    """Insert a wiring, and the agent's destination for the chat unless it has one. Lift the chat's rejection.

    Raises:
        NotFound: the chat or the agent group does not exist.
    """
    messaging_groups.require(connection, wiring.messaging_group_id)
    agent_groups.require(connection, wiring.agent_group_id)
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
    destinations.add_chat(
        connection, wiring.agent_group_id, wiring.messaging_group_id, wiring.created_at, wiring.id
    )
    refusals.lift(connection, wiring.messaging_group_id, None)


def get(connection: apsw.Connection, id_: str) -> Wiring | None:
    """Return the wiring with this id, or None."""
    return rows.one(Wiring, connection.execute(f"{_SELECT} WHERE id = :id", {"id": id_}))


require = rows.required(get, "there is no wiring {!r}")
"""Return the wiring with this id, or raise `NotFound`."""


def by_pair(connection: apsw.Connection, messaging_group_id: str, agent_group_id: str) -> Wiring | None:
    """Return the wiring of a chat with an agent group, or None."""
    return rows.one(
        Wiring,
        connection.execute(
            f"{_SELECT} WHERE messaging_group_id = :chat AND agent_group_id = :agent",
            {"chat": messaging_group_id, "agent": agent_group_id},
        ),
    )


def for_chat(connection: apsw.Connection, messaging_group_id: str) -> list[Wiring]:
    """Return the wirings of a chat: highest priority first, then oldest first."""
    return split_for_chat(connection, messaging_group_id)[0]


def split_for_chat(
    connection: apsw.Connection, messaging_group_id: str
) -> tuple[list[Wiring], list[DamagedRow]]:
    """Return the wirings of a chat as `for_chat` does, and the errors about those that cannot be read."""
    sql, chat = f"{_SELECT} WHERE messaging_group_id = :chat", {"chat": messaging_group_id}
    found, others = rows.split(Wiring, connection.execute(sql, chat))
    return sorted(found, key=lambda each: (-each.priority, each.created_at, each.id)), others


def damaged(connection: apsw.Connection) -> list[DamagedRow]:
    """Return the errors about the rows that cannot be read. The other functions leave these rows out."""
    return rows.damaged(Wiring, connection.execute(_SELECT))


def for_agent(connection: apsw.Connection, agent_group_id: str) -> list[Wiring]:
    """Return the wirings of an agent group, oldest first."""
    return rows.many(
        Wiring,
        connection.execute(
            f"{_SELECT} WHERE agent_group_id = :agent ORDER BY julianday(created_at), id",
            {"agent": agent_group_id},
        ),
    )


def every(connection: apsw.Connection) -> list[Wiring]:
    """Return all wirings, oldest first."""
    return rows.many(Wiring, connection.execute(f"{_SELECT} ORDER BY julianday(created_at), id"))


def update(connection: apsw.Connection, id_: str, changes: WiringChanges) -> Wiring:
    """Change a wiring and return the new state.

    Raises:
        NotFound: no wiring has this id.
    """
    wiring = rows.changed(require(connection, id_), WiringChanges, changes)
    connection.execute(
        """
        UPDATE messaging_group_agents
        SET trigger_rules = :trigger_rules, response_scope = :response_scope,
          session_mode = :session_mode, priority = :priority
        WHERE id = :id
        """,
        rows.values(wiring),
    )
    return wiring


def delete(connection: apsw.Connection, id_: str) -> Wiring:
    """Delete a wiring with the destination that was created with it. Its sessions stay with the agent group.

    Raises:
        NotFound: no wiring has this id.
    """
    wiring = require(connection, id_)
    connection.execute("DELETE FROM agent_destinations WHERE wiring_id = :id", {"id": id_})
    connection.execute("DELETE FROM engaged_threads WHERE wiring_id = :id", {"id": id_})
    connection.execute("DELETE FROM messaging_group_agents WHERE id = :id", {"id": id_})
    return wiring
