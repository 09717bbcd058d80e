"""The people who may decide an approval. Rights are read at the moment of the decision."""

from collections.abc import Iterator, Sequence

from nanoclaw.records import ApprovalRule
from nanoclaw.store import Connection
from nanoclaw.store.central import user_roles

HOST_USER = "cli:local"
"""The user at the terminal of the host."""


def may_decide(connection: Connection, agent_group_id: str | None, user_id: str) -> bool:
    """Return True if a user may decide: who administers the agent, or an owner if it concerns none."""
    if agent_group_id is None:
        return user_roles.is_owner(connection, user_id)
    return user_roles.may_administer(connection, user_id, agent_group_id)


def rule_counts(connection: Connection, rule: ApprovalRule) -> bool:
    """Return True if the author of a rule may still decide what it allows.

    Whoever administers the host needs no right. They are nobody in the rows, or `cli:local`.
    """
    by = rule.created_by
    return by is None or by == HOST_USER or may_decide(connection, rule.agent_group_id, by)


def circles(connection: Connection, agent_group_id: str | None) -> Iterator[Sequence[str]]:
    """Yield the users to ask: the agent's admins, then global admins, then owners.

    Without an agent only owners are asked. Within a circle the oldest right comes first.
    """
    roles = sorted(user_roles.every(connection), key=lambda role: (role.granted_at, role.user_id))
    if agent_group_id is not None:
        yield [each.user_id for each in roles if each.agent_group_id == agent_group_id]
        yield [each.user_id for each in roles if each.role == "admin" and each.agent_group_id is None]
    yield [each.user_id for each in roles if each.role == "owner"]
