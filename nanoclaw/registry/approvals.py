"""Messages to the registry about approvals."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Literal

from attrs import evolve, frozen

from nanoclaw.records import Address, ApprovalCard, ApprovalRule, PendingApproval
from nanoclaw.records.approvals import CODE_DIGITS, Asked, Decision
from nanoclaw.registry.actor import INSTALL_ID, CheckedMessage, Registry
from nanoclaw.registry.performed_actions import ActionRefused
from nanoclaw.store import Connection, NotAllowed
from nanoclaw.store.central import (
    answering_messages,
    approval_askers,
    approval_cards,
    approval_rules,
    meta,
    pending_approvals,
)

DELETED = "the request was deleted"
"""The note of an approval that was withdrawn because somebody deleted it."""


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
        created = await actor.commit(self._create, actor)
        actor.changes.tell_approvals()
        return created

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
class RequestApproval(CheckedMessage):
    """Request an approval from the host's program. Its kind checks the request first."""

    action: str
    values: Mapping[str, object]
    agent_group_id: str | None = None
    """The agent that it concerns. None: only owners may decide."""
    address: Address | None = None
    """The chat that it is about. Cards go to people of the same network first."""
    requested_by: str | None = None

    async def handle(self, actor: Registry) -> PendingApproval:
        """Return the approval. It may be an equal open one. Raises NotAllowed if it can never be done."""
        id_ = actor.new_id("appr", self.agent_group_id, self.action)
        try:
            return await actor.commit(self._request, actor, id_)
        except ActionRefused as error:
            raise NotAllowed(str(error)) from error
        finally:
            actor.changes.tell_approvals()

    def _request(self, connection: Connection, actor: Registry, id_: str) -> PendingApproval:
        asked = Asked(
            self.action,
            self.values,
            self.agent_group_id,
            requested_by=self.requested_by,
            address=self.address,
        )
        return actor.approvals.request(connection, asked, id_, actor.clock.now()).approval


@frozen
class DecideApproval(CheckedMessage):
    """Decide an approval, and apply the decision, in one transaction. `by` is the user who decides.

    They must have the right to it at that moment, unless `unlimited`.
    """

    approval_id: str
    status: Literal["approved", "rejected"] | None = None
    """What is decided if no choice is named."""
    by: str | None = None
    """None, with `unlimited`: whoever administers the host."""
    choice: str | None = None
    """The value of the chosen button."""
    note: str | None = None
    unlimited: bool = False
    message_id: str | None = None
    """The message that decides, if it was no press of a button. It decides nothing else."""

    async def handle(self, actor: Registry) -> PendingApproval:
        """Return the decided approval. A second or forbidden decision raises `NotAllowed`."""
        decided = await actor.commit(self._decide, actor)
        _tell(actor)
        return decided

    def _decide(self, connection: Connection, actor: Registry) -> PendingApproval:
        choice = self.choice
        if choice is None:  # an empty one is no choice, and no card has it
            choice = "reject" if self.status == "rejected" else "approve"
        decision = Decision(self.approval_id, choice, self.by, self.note, self.unlimited)
        if self.message_id is not None:
            answering_messages.note(connection, self.message_id, actor.clock.now())
        return actor.approvals.decide(connection, decision, actor.clock.now())


@frozen
class ExpireApprovals:
    """Expire the approvals that were not decided in time."""

    async def handle(self, actor: Registry) -> list[PendingApproval]:
        """Set overdue approvals to expired and return them. A date that was set back delays none."""
        expired = await actor.commit(self._expire, actor)
        if expired:
            _tell(actor)
        return expired

    def _expire(self, connection: Connection, actor: Registry) -> list[PendingApproval]:
        return actor.approvals.expire_overdue(connection, actor.clock.now())


@frozen
class DeleteApproval(CheckedMessage):
    """Delete an approval that is no longer needed. An open one of a kind is withdrawn instead.

    The cards of a withdrawn one say so, and who asked is told. It is kept as long as decided ones.
    """

    approval_id: str
    by: str | None = None
    """The user who deletes it, if known."""

    async def handle(self, actor: Registry) -> PendingApproval:
        """Delete or withdraw it, and return it."""
        deleted = await actor.commit(self._delete, actor)
        _tell(actor)
        return deleted

    def _delete(self, connection: Connection, actor: Registry) -> PendingApproval:
        approval = pending_approvals.require(connection, self.approval_id)
        if approval.status != "pending" or approval.same is None:
            return pending_approvals.delete(connection, self.approval_id)
        now = actor.clock.now()
        withdrawn = evolve(approval, status="withdrawn", decided_by=self.by, decided_at=now, note=DELETED)
        return actor.approvals.close(connection, withdrawn, {}, now)


def _tell(actor: Registry) -> None:
    """Tell everybody after a decision. A kind may change anything that sessions project."""
    actor.changes.tell_network()
    actor.changes.tell_admitted()
    actor.changes.tell_all()


# -- rules ---------------------------------------------------------------------


@frozen
class ForgetApprovalRule(CheckedMessage):
    """Delete the rule of an "always allow". Later requests are asked about again."""

    rule_id: str

    async def handle(self, actor: Registry) -> ApprovalRule:
        """Delete and return it."""
        return await actor.commit(approval_rules.delete, self.rule_id)


# -- the ledger of cards, and what follows a decision -------------------------------


@frozen
class AddCards:
    """Record that people are to be shown approvals."""

    cards: Sequence[ApprovalCard]

    async def handle(self, actor: Registry) -> None:
        """Insert the cards of approvals that are still pending."""
        await actor.commit(self._add)

    def _add(self, connection: Connection) -> None:
        secret = meta.get(connection, INSTALL_ID) or ""
        for card in self.cards:
            approval = pending_approvals.get(connection, card.approval_id)
            if approval is not None and approval.status == "pending":
                approval_cards.add(connection, evolve(card, code=_code(secret, card)))


def _code(secret: str, card: ApprovalCard) -> str:
    """Return the code of a card: digits that nobody can tell who does not know the secret."""
    key, what = secret.encode(), f"{card.approval_id} {card.user_id}".encode(errors="surrogatepass")
    return (
        f"{int.from_bytes(blake2b(what, digest_size=8, key=key).digest()) % 10**CODE_DIGITS:0{CODE_DIGITS}d}"
    )


@frozen
class StoreCard:
    """Store the new state of a card, unless it has changed meanwhile."""

    before: ApprovalCard
    after: ApprovalCard

    async def handle(self, actor: Registry) -> bool:
        """Return False if the card is not in the state `before` any more. Nothing is changed then."""
        return await actor.commit(self._store)

    def _store(self, connection: Connection) -> bool:
        there = approval_cards.get(connection, self.before.approval_id, self.before.user_id)
        if there is None or _progress(there) != _progress(self.before):
            return False
        approval_cards.put(connection, self.after)
        return True


def _progress(card: ApprovalCard) -> tuple[object, ...]:
    """Return what every step of a card changes."""
    return card.status, card.shows, card.attempts, card.doubts


@frozen
class FinishApproval:
    """Record that the effects of an approval outside of the central database are done."""

    approval_id: str
    outcome: Mapping[str, object]

    async def handle(self, actor: Registry) -> None:
        """Record it with its outcome, unless that was done before."""
        await actor.commit(self._finish, actor.clock.now())
        actor.changes.tell_approvals()

    def _finish(self, connection: Connection, now: datetime) -> None:
        approval = pending_approvals.get(connection, self.approval_id)
        if approval is not None and approval.status != "pending" and approval.finished_at is None:
            done = evolve(approval, outcome=self.outcome, finished_at=now)
            pending_approvals.store_decision(connection, done)


@frozen
class OutcomeTold:
    """Record that a session was told the outcome of an approval."""

    approval_id: str
    session_id: str

    async def handle(self, actor: Registry) -> None:
        """Record it. Once all sessions were told, the approval is done."""
        await actor.note(self._note, actor.clock.now())

    def _note(self, connection: Connection, now: datetime) -> None:
        approval_askers.mark_told(connection, self.approval_id, self.session_id, now)
        approval = pending_approvals.get(connection, self.approval_id)
        if approval is not None and not approval_askers.count_untold(connection, self.approval_id):
            pending_approvals.store_decision(connection, evolve(approval, told_at=now))


@frozen
class PruneApprovals:
    """Delete the approvals that were decided long ago."""

    before: datetime

    async def handle(self, actor: Registry) -> int:
        """Return the number of deleted ones."""
        return await actor.note(pending_approvals.prune, self.before)
