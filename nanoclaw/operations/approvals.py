"""The noun `approvals`."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Literal

from attrs import frozen

from nanoclaw.operations.declaration import Named, operation
from nanoclaw.operations.noun import Noun
from nanoclaw.operations.rights import Right
from nanoclaw.operations.types import ApprovalRef
from nanoclaw.records import Address, ApprovalStatus, PendingApproval
from nanoclaw.registry import CreateApproval, DecideApproval, DeleteApproval, ExpireApprovals
from nanoclaw.store import NotFound
from nanoclaw.store.central import pending_approvals

COLUMNS = ("approval_id", "agent", "action", "status", "title", "created_at", "decided_by")


@frozen
class Approvals(Noun):
    """Requests to the admins, and their decisions."""

    name = "approvals"
    summary = "requests to the admins, and their decisions"
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

    @operation(right=Right.ADMIN, asks="Delete approval {approval}? Who asked for it gets no answer.")
    async def delete(self, approval: ApprovalRef) -> PendingApproval:
        """Delete an approval, decided or not.

        Args:
            approval: its id.
        """
        return await self._registry.ask(DeleteApproval(approval))

    # -- for embedders

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
