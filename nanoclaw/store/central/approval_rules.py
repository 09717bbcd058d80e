"""Rows of `approval_rules`: requests of agents that need no decision."""

import apsw

from nanoclaw.records import ApprovalRule
from nanoclaw.store.engine import rows
from nanoclaw.store.engine.rows import DamagedRow

_SELECT = """
    SELECT rule_id, agent_group_id, action, scope, created_by, created_at, approval_id FROM approval_rules
"""


def add(connection: apsw.Connection, rule: ApprovalRule) -> None:
    """Insert a rule, unless there is one of this agent, action and scope."""
    connection.execute(
        """
        INSERT INTO approval_rules (
          rule_id, agent_group_id, action, scope, created_by, created_at, approval_id
        )
        VALUES (:rule_id, :agent_group_id, :action, :scope, :created_by, :created_at, :approval_id)
        ON CONFLICT DO NOTHING
        """,
        rows.values(rule),
    )


def find(connection: apsw.Connection, agent_group_id: str, action: str, scope: str) -> ApprovalRule | None:
    """Return the rule that allows a scope of an action to an agent, or None."""
    found = connection.execute(
        f"{_SELECT} WHERE agent_group_id = ? AND action = ? AND scope = ?", (agent_group_id, action, scope)
    )
    return rows.one(ApprovalRule, found)


def get(connection: apsw.Connection, rule_id: str) -> ApprovalRule | None:
    """Return the rule with this id, or None."""
    return rows.one(ApprovalRule, connection.execute(f"{_SELECT} WHERE rule_id = ?", (rule_id,)))


require = rows.required(get, "there is no rule {!r}")
"""Return the rule with this id, or raise `NotFound`."""


def every(connection: apsw.Connection) -> list[ApprovalRule]:
    """Return all rules, the oldest first."""
    return rows.many(ApprovalRule, connection.execute(f"{_SELECT} ORDER BY julianday(created_at), rule_id"))


def damaged(connection: apsw.Connection) -> list[DamagedRow]:
    """Return the errors about the rows that cannot be read."""
    return rows.damaged(ApprovalRule, connection.execute(_SELECT))


def delete(connection: apsw.Connection, rule_id: str) -> ApprovalRule:
    """Delete a rule and return it.

    Raises:
        NotFound: no rule has this id.
    """
    rule = require(connection, rule_id)
    connection.execute("DELETE FROM approval_rules WHERE rule_id = ?", (rule_id,))
    return rule
