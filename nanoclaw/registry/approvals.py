"""The registry's messages about what waits for a person: questions of agents, approvals of admins."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

from attrs import frozen

from nanoclaw.records import Address, PendingApproval, PendingQuestion
from nanoclaw.registry.actor import Registry
from nanoclaw.store import Connection, pending_approvals, pending_questions

MAX_WAITING = 100
"""Questions of one session: an agent whose questions nobody answers fills no file."""


@frozen
class CreateQuestion:
    """A card with buttons that an agent sent."""

    question_id: str
    session_id: str
    message_out_id: str
    address: Address | None
    title: str
    options: Sequence[object]

    async def handle(self, actor: Registry) -> bool:
        """Record it; False if it is recorded. Of more than `MAX_WAITING` the oldest wait no longer."""
        where = self.address
        question = PendingQuestion(
            self.question_id,
            self.session_id,
            self.message_out_id,
            where.platform_id if where else None,
            where.channel_type if where else None,
            where.thread_id if where else None,
            self.title,
            self.options,
            actor.clock.now(),
        )
        return await actor.commit(self._create, question)

    def _create(self, connection: Connection, question: PendingQuestion) -> bool:
        new = pending_questions.create(connection, question)
        pending_questions.forget_oldest(connection, self.session_id, keep=MAX_WAITING)
        return new


@frozen
class DeleteQuestion:
    """A question that is answered, or that nobody is to answer any more."""

    question_id: str

    async def handle(self, actor: Registry) -> PendingQuestion:
        """Take it away; of two who answer the first gets it, the other a `NotFound`."""
        return await actor.commit(pending_questions.delete, self.question_id)


@frozen
class CreateApproval:
    """What an agent, or the host itself, asks an admin for."""

    action: str
    payload: Mapping[str, object]
    title: str = ""
    options: Sequence[object] = ()
    approval_id: str | None = None
    """None: a fresh one. Who may ask twice for the same, after a crash, gives it."""
    request_id: str | None = None
    """The asker's own; None: the approval's id."""
    session_id: str | None = None
    agent_group_id: str | None = None
    address: Address | None = None
    """Where the card is."""
    platform_message_id: str | None = None
    expires_at: datetime | None = None
    payload_hash: str | None = None

    async def handle(self, actor: Registry) -> PendingApproval:
        """Record it; returns what is recorded under its id, which may be an earlier one."""
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
class DecideApproval:
    """An admin's word; `by` is their user id."""

    approval_id: str
    status: Literal["approved", "rejected"]
    by: str

    async def handle(self, actor: Registry) -> PendingApproval:
        """Record it, unless somebody was first."""
        now = actor.clock.now()
        return await actor.commit(pending_approvals.decide, self.approval_id, self.status, self.by, now)


@frozen
class ExpireApprovals:
    """Approvals that nobody decided in time."""

    async def handle(self, actor: Registry) -> list[PendingApproval]:
        """Let them expire; returns them."""
        return await actor.commit(pending_approvals.expire, actor.clock.now())


@frozen
class DeleteApproval:
    """An approval that is of no more use."""

    approval_id: str

    async def handle(self, actor: Registry) -> PendingApproval:
        """Delete it, decided or not."""
        return await actor.commit(pending_approvals.delete, self.approval_id)
