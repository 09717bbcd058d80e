"""The noun `approvals`."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Literal

from attrs import frozen

from nanoclaw.approvals.kind import REJECTS
from nanoclaw.operations.declaration import Named, operation
from nanoclaw.operations.errors import BadArguments
from nanoclaw.operations.noun import Noun
from nanoclaw.operations.rights import Right
from nanoclaw.operations.types import AgentRef, ApprovalRef
from nanoclaw.records import Address, ApprovalCard, ApprovalRule, ApprovalStatus, PendingApproval
from nanoclaw.registry import (
    CreateApproval,
    DecideApproval,
    DeleteApproval,
    ExpireApprovals,
    ForgetApprovalRule,
    RequestApproval,
)
from nanoclaw.store import NotFound
from nanoclaw.store.central import approval_cards, approval_rules, pending_approvals

RULES = ("rule_id", "agent", "action", "scope", "created_by", "created_at")
CARDS = ("user_id", "chat", "status", "shows", "attempts", "error")
COLUMNS = ("approval_id", "agent", "action", "status", "title", "created_at", "decided_by")


@frozen
class Approvals(Noun):
    """Requests that people decide, and their decisions."""

    name = "approvals"
    summary = "requests that people decide, and their decisions"
    table = "pending_approvals"

    @operation(right=Right.ADMIN, reads=True, columns=COLUMNS)
    async def list(
        self, status: Annotated[ApprovalStatus | None, Named("status", option=True)] = None
    ) -> Sequence[PendingApproval]:
        """List the approvals, the oldest first.

        Args:
            status: only those of this status.
        """
        return await self._central.run(pending_approvals.every, status)

    @operation(right=Right.ADMIN, reads=True)
    async def show(self, approval: ApprovalRef) -> PendingApproval:
        """Show an approval.

        Args:
            approval: its id.
        """
        found = await self.get(approval)
        if found is None:
            raise NotFound(f"there is no approval {approval!r:.140}")
        return found

    @operation(right=Right.ADMIN, reads=True, columns=CARDS)
    async def cards(self, approval: ApprovalRef) -> Sequence[ApprovalCard]:
        """List the people to whom a request was shown, and how its cards fare.

        Args:
            approval: its id.
        """
        return await self._central.run(approval_cards.of_approval, approval)

    @operation(right=Right.ADMIN)
    async def approve(
        self,
        approval: ApprovalRef,
        *,
        note: Annotated[str | None, Named("note", option=True)] = None,
        always: Annotated[bool, Named("always", option=True)] = False,
        choice: Annotated[str | None, Named("choice", option=True)] = None,
    ) -> PendingApproval:
        """Approve a request. Who asked is told, and its cards show who decided.

        Without a host, the decision is stored. What it needs besides is done when the host starts.

        Args:
            approval: its id.
            note: a sentence for who asked.
            always: also allow the same in future, as the request offers it.
            choice: the value of another button that approves, as `approvals show` lists them.
        """
        if choice in REJECTS:
            raise BadArguments(f"choice: {choice} rejects: use approvals reject")
        return await self._decide(approval, choice or ("always" if always else "approve"), note)

    @operation(right=Right.ADMIN)
    async def reject(
        self,
        approval: ApprovalRef,
        *,
        note: Annotated[str | None, Named("note", option=True)] = None,
        choice: Annotated[str | None, Named("choice", option=True)] = None,
    ) -> PendingApproval:
        """Reject a request. Who asked is told, and its cards show who decided.

        Args:
            approval: its id.
            note: a sentence for who asked, such as the reason.
            choice: the value of another button that rejects, such as `block`.
        """
        if choice is not None and choice not in REJECTS:
            raise BadArguments(f"choice: {choice:.60} does not reject: use approvals approve")
        return await self._decide(approval, choice or "reject", note)

    async def _decide(self, approval: str, choice: str, note: str | None) -> PendingApproval:
        unlimited = self._caller.unlimited
        by = await self._known_caller() if unlimited else self._caller.user_id
        decide = DecideApproval(approval, by=by, choice=choice, note=note, unlimited=unlimited)
        return await self._registry.ask(decide)

    @operation(right=Right.ADMIN, reads=True, columns=RULES)
    async def rules(
        self, agent: Annotated[AgentRef | None, Named("agent", option=True)] = None
    ) -> Sequence[ApprovalRule]:
        """List the rules of "always allow". A request that fits one needs no decision.

        Args:
            agent: only those of this agent.
        """
        found = await self._central.run(approval_rules.every)
        return [each for each in found if agent in {None, each.agent_group_id}]

    @operation(right=Right.OWNER)
    async def forget_rule(self, rule: str) -> ApprovalRule:
        """Forget a rule. Later requests wait for a decision again.

        Args:
            rule: its id, as `approvals rules` shows it.
        """
        return await self._registry.ask(ForgetApprovalRule(rule))

    @operation(
        right=Right.ADMIN,
        asks="Delete approval {approval}? If it is open, it is withdrawn, and who asked is told.",
    )
    async def delete(self, approval: ApprovalRef) -> PendingApproval:
        """Delete a decided approval, or withdraw an open one.

        The cards of a withdrawn one say so, and the agent that asked is told. It is kept like decided ones.

        Args:
            approval: its id.
        """
        return await self._registry.ask(DeleteApproval(approval, await self._known_caller()))

    # -- for embedders

    async def request(
        self,
        action: str,
        values: Mapping[str, object],
        *,
        agent_group_id: str | None = None,
        address: Address | None = None,
        requested_by: str | None = None,
    ) -> PendingApproval:
        """Request an approval of a kind. An equal open request is returned instead.

        Without an agent, only owners may decide. Raises `NotAllowed` if it can never be done.
        """
        request = RequestApproval(action, values, agent_group_id, address, requested_by)
        return await self._registry.ask(request)

    async def create(  # noqa: PLR0913 -- the columns of its row, by name
        self,
        action: str,
        payload: Mapping[str, object],
        *,
        title: str = "",
        options: Sequence[object] = (),
        approval_id: str | None = None,
        request_id: str | None = None,
        session_id: str | None = None,
        agent_group_id: str | None = None,
        address: Address | None = None,
        platform_message_id: str | None = None,
        expires_at: datetime | None = None,
    ) -> PendingApproval:
        """Create a request; if the id exists already, return the earlier one. Raises `NotFound`."""
        return await self._registry.ask(
            CreateApproval(
                action,
                payload,
                title,
                options,
                approval_id,
                request_id,
                session_id,
                agent_group_id,
                address,
                platform_message_id,
                expires_at,
            )
        )

    async def get(self, approval_id: str) -> PendingApproval | None:
        """Return the approval with that id, decided or not."""
        return await self._central.run(pending_approvals.get, approval_id)

    async def for_action(
        self, action: str, status: ApprovalStatus | None = "pending"
    ) -> Sequence[PendingApproval]:
        """Return the approvals of an action in a state (None: any), the oldest first."""
        return await self._central.run(pending_approvals.for_action, action, status)

    async def decide(
        self, approval_id: str, status: Literal["approved", "rejected"], *, by: str
    ) -> PendingApproval:
        """Decide as a user, who must have the right to it; the first decision stands.

        Raises `NotFound`, `NotAllowed`.
        """
        return await self._registry.ask(DecideApproval(approval_id, status, by))

    async def expire(self) -> Sequence[PendingApproval]:
        """Expire the approvals that nobody decided in time; return them."""
        return await self._registry.ask(ExpireApprovals())
