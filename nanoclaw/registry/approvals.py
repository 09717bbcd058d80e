"""Messages to the registry about approvals."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

from attrs import frozen

from nanoclaw.records import Address, PendingApproval
from nanoclaw.registry.actor import CheckedMessage, Registry
from nanoclaw.registry.network import follow_decision, withdraw_question
from nanoclaw.store import Connection
from nanoclaw.store.central import pending_approvals


@frozen
class CreateApproval(CheckedMessage):
    """Record a request of an agent or of the host to the admins."""

    action: str
    payload: Mapping[str, object]
    title: str = ""
    options: Sequence[object] = ()
    approval_id: str | None = None
    """None makes a new id. Give one if the same request may come twice, as after a crash."""
    request_id: str | None = None
    """The id that the requester uses. None means the approval's id."""
    session_id: str | None = None
    agent_group_id: str | None = None
    address: Address | None = None
    """The chat that shows the card."""
    platform_message_id: str | None = None
    expires_at: datetime | None = None
    payload_hash: str | None = None

    async def handle(self, actor: Registry) -> PendingApproval:
        """Insert the approval, and return the stored one. It may be an earlier one with the same id."""
        return await actor.commit(self._create, actor)

    def _create(self, connection: Connection, actor: Registry) -> PendingApproval:
        id_ = self.approval_id or actor.new_id("appr", self.session_id, self.request_id, self.action)
        where = self.address
        approval = PendingApproval(
            id_,
            self.session_id,
            self.request_id or id_,
            self.action,
            self.payload,
            actor.clock.now(),
            self.agent_group_id,
            where.channel_type if where else None,
            where.platform_id if where else None,
            self.platform_message_id,
            self.expires_at,
            title=self.title,
            options=self.options,
            payload_hash=self.payload_hash,
        )
        pending_approvals.create(connection, approval)
        return pending_approvals.require(connection, id_)


@frozen
class DecideApproval(CheckedMessage):
    """Record an admin's decision. `by` is the admin's user id."""

    approval_id: str
    status: Literal["approved", "rejected"]
    by: str

    async def handle(self, actor: Registry) -> PendingApproval:
        """Record the decision. A second decision raises `NotAllowed`."""
        decided = await actor.commit(self._decide, actor.clock.now())
        actor.changes.tell_network()
        return decided

    def _decide(self, connection: Connection, now: datetime) -> PendingApproval:
        decided = pending_approvals.decide(connection, self.approval_id, self.status, self.by, now)
        follow_decision(connection, decided)
        return decided


@frozen
class ExpireApprovals:
    """Expire the approvals that were not decided in time."""

    async def handle(self, actor: Registry) -> list[PendingApproval]:
        """Set overdue approvals to expired and return them. A date that was set back delays none."""
        expired = await actor.commit(self._expire, actor.clock.now())
        actor.changes.tell_network()
        return expired

    def _expire(self, connection: Connection, now: datetime) -> list[PendingApproval]:
        pending_approvals.date_back(connection, now)
        return pending_approvals.expire(connection, now)


@frozen
class DeleteApproval(CheckedMessage):
    """Delete an approval that is no longer needed."""

    approval_id: str

    async def handle(self, actor: Registry) -> PendingApproval:
        """Delete it, decided or not, and return it."""
        deleted = await actor.commit(self._delete)
        actor.changes.tell_network()
        return deleted

    def _delete(self, connection: Connection) -> PendingApproval:
        deleted = pending_approvals.delete(connection, self.approval_id)
        withdraw_question(connection, deleted)
        return deleted
