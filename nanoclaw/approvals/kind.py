"""A kind of approval: what may be asked, what its card shows, and what the decision does.

A kind is one class in a module of `nanoclaw.approvals.kinds`, or one that a program gives to `open_host`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

from attrs import frozen

from nanoclaw.records import Option, PendingApproval
from nanoclaw.records.approvals import Asked
from nanoclaw.store import Connection

__all__ = [
    "ALWAYS",
    "APPROVE",
    "REJECT",
    "REJECTS",
    "ApprovalKind",
    "Asked",
    "Effects",
    "HasEffects",
    "Wanted",
]

APPROVE = Option("Approve", "Approved", "approve")
REJECT = Option("Reject", "Rejected", "reject")
ALWAYS = Option("Always allow", "Always allowed", "always")
"""Approves, and writes a rule for `Wanted.scope`."""
REJECTS = frozenset({REJECT.value, "block"})
"""The choices that reject. Every other choice of a card approves."""


@frozen
class Wanted:
    """A valid request: exactly what will be done, and how it is shown."""

    payload: Mapping[str, object]
    """What will be done, as JSON. The approval is bound to its hash."""
    same: str
    """Two open requests of one agent and action with equal `same` are one request."""
    title: str
    """The heading of the card; at most 200 characters."""
    text: str
    """What will be done, in full, for the person who decides; at most 4,000 characters."""
    options: Sequence[Option] = (APPROVE, REJECT)
    """The buttons of the card."""
    scope: str | None = None
    """What an "always allow" would allow; None if this kind knows no such rule."""


class ApprovalKind(Protocol):
    """One kind of approval, identified by its action."""

    @property
    def action(self) -> str:
        """The name of the action, as in requests of agents and in `pending_approvals.action`."""
        ...

    @property
    def for_agents(self) -> bool:
        """True if an agent may ask by a request of kind `system` with this action."""
        ...

    def check(self, connection: Connection, asked: Asked, /) -> Wanted:
        """Check a request before anybody is asked. It reads only.

        Raises:
            ActionRefused: it can never be done. The text is for who asked.
        """
        ...

    def apply(self, connection: Connection, approval: PendingApproval, /) -> Mapping[str, object]:
        """Apply a decision to the central database, in the transaction that stores the decision.

        It is called once for each approval: `approval.status` is approved, rejected or expired, and
        `approval.choice` is the button. The result is JSON, for who asked.

        Raises:
            ActionRefused: it cannot be done any more. The approval stays decided, and who asked is told.
        """
        ...


@runtime_checkable
class HasEffects(Protocol):
    """A kind whose approval changes more than the central database: files, sessions, runners."""

    async def finish(self, approval: PendingApproval, effects: "Effects", /) -> Mapping[str, object] | None:
        """Do what an approved approval needs outside of the central database.

        Return the outcome, or None to keep the one of `apply`. It is repeated until it returns, also after a
        restart of the host. So doing it twice must be the same as once.

        Raises:
            ActionRefused: it cannot be done. Who asked is told.
        """
        ...


class Effects(Protocol):
    """What kinds may do outside of the central database. The host implements it."""

    async def change_container_json(
        self, agent_group_id: str, change: Callable[[dict[str, object]], None], /
    ) -> None:
        """Change the `container.json` of an agent, checked and replaced as a whole.

        Packages that it adds are installed before it is replaced.

        Raises:
            ActionRefused: the changed file would be invalid, cannot be written, or its packages cannot be
                installed. Nothing has changed then.
        """
        ...

    async def restart_agent(self, agent_group_id: str, /) -> None:
        """Have the runners of an agent start again, so that they take a changed `container.json`."""
        ...

    async def rebuild_agent(self, agent_group_id: str, /) -> None:
        """Install the packages of an agent that are missing, even if that has failed a short while ago.

        Raises:
            ActionRefused: they cannot be installed.
        """
        ...

    async def destinations_changed(self, agent_group_id: str, /) -> None:
        """Show the sessions of an agent its new destinations."""
        ...

    async def budgets_changed(self) -> None:
        """Let a changed limit take effect at once."""
        ...

    async def make_agent(self, agent_group_id: str, instructions: str, /) -> None:
        """Make the folder of a new agent, with its instructions as `CLAUDE.md`. An existing file stays."""
        ...

    async def deliver_held(self, messaging_group_id: str, user_id: str | None, /) -> None:
        """Deliver the held messages of a sender in a chat, or of a whole chat, in their order."""
        ...
