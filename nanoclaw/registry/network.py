"""Messages to the registry about the sites that agents may reach, and the questions about them.

A question is a row of `pending_approvals` with the action `network`, and an alert for the owner.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from attrs import frozen

from nanoclaw.records import ApprovalStatus, BudgetAlert, PendingApproval
from nanoclaw.records.network import BadSite, NetworkSite, Site, SiteDecision
from nanoclaw.registry.actor import CheckedMessage, Registry
from nanoclaw.registry.usage import ALERTS_KEPT
from nanoclaw.store import Connection, NotFound
from nanoclaw.store.central import agent_groups, budgets, network_sites, pending_approvals

MOST_OPEN = 20
"""Open questions of one agent. More sites are refused without a question."""
_STATUSES: Mapping[SiteDecision, ApprovalStatus] = {"allowed": "approved", "refused": "rejected"}
_DECISIONS: Mapping[str, SiteDecision] = {"approved": "allowed", "rejected": "refused"}


@frozen
class AskForSite(CheckedMessage):
    """Ask the owner if an agent may reach a site. One question an agent and site is open at a time."""

    agent_group_id: str
    site: str
    session_id: str
    day: str
    """The day of the alert, in the user's zone."""

    async def handle(self, actor: Registry) -> bool:
        """Store the question and the alert. Return False if the agent has `MOST_OPEN` questions already."""
        now = actor.clock.now()
        asked = await actor.note(self._ask, actor.new_id("appr", self.agent_group_id, self.site), now)
        actor.changes.tell_network()
        actor.changes.tell_alerts()
        return asked

    def _ask(self, connection: Connection, id_: str, now: datetime) -> bool:
        waiting = network_sites.questions(connection, self.agent_group_id)
        if any(each.request_id == self.site for each in waiting):
            return True
        if len(waiting) >= MOST_OPEN:
            return False
        folder = agent_groups.require(connection, self.agent_group_id).folder
        pending_approvals.create(connection, self._approval(id_, folder, now))
        text = (
            f"The agent {folder} asks to reach {self.site}. To allow it: nanoclaw network allow {folder} "
            f"{self.site}. To refuse it: nanoclaw network refuse {folder} {self.site}."
        )
        alert = BudgetAlert(f"{budgets.NETWORK}{id_}", self.day, text, None, told=False, created_at=now)
        budgets.raise_alerts(connection, [alert])
        budgets.drop_alerts(connection, (now - ALERTS_KEPT).date().isoformat())
        return True

    def _approval(self, id_: str, folder: str, now: datetime) -> PendingApproval:
        return PendingApproval(
            id_,
            None,  # the question is the agent's: it outlives the session that met it
            self.site,
            network_sites.ACTION,
            {"site": self.site, "session": self.session_id},
            now,
            self.agent_group_id,
            title=f"{folder} asks to reach {self.site}",
        )


@frozen
class DecideSite(CheckedMessage):
    """Allow or refuse a site for an agent."""

    agent_group_id: str
    site: str
    decision: SiteDecision
    by: str | None

    async def handle(self, actor: Registry) -> Sequence[PendingApproval]:
        """Store the decision, and close the questions that it answers. Return those."""
        closed = await actor.note(self._decide, actor.clock.now())
        actor.changes.tell_network()
        return closed

    def _decide(self, connection: Connection, now: datetime) -> list[PendingApproval]:
        agent_groups.require(connection, self.agent_group_id)
        row = NetworkSite(self.agent_group_id, self.site, self.decision, self.by, now)
        network_sites.put(connection, row)
        answered = [
            each
            for each in network_sites.questions(connection, self.agent_group_id)
            if _answers(self.site, each.request_id)
        ]
        for each in answered:
            network_sites.decide(connection, each, _STATUSES[self.decision], self.by, now)
        return answered


@frozen
class ForgetSite(CheckedMessage):
    """Forget the decision about a site and an agent, and the question about it."""

    agent_group_id: str
    site: str

    async def handle(self, actor: Registry) -> None:
        """Delete both. Raises NotFound if there is neither."""
        await actor.note(self._forget)
        actor.changes.tell_network()

    def _forget(self, connection: Connection) -> None:
        forgotten = network_sites.forget(connection, self.agent_group_id, self.site)
        for each in network_sites.questions(connection, self.agent_group_id):
            if each.request_id == self.site:
                network_sites.delete_question(connection, each)
                forgotten = True
        if not forgotten:
            raise NotFound(f"there is no decision and no question about {self.site!r:.140}")


def withdraw_question(connection: Connection, approval: PendingApproval) -> None:
    """Do not tell the owner about a question that is closed."""
    budgets.withdraw_alert(connection, f"{budgets.NETWORK}{approval.approval_id}")


def follow_decision(connection: Connection, approval: PendingApproval) -> None:
    """Store what a decided question means for its agent and site. Other approvals mean nothing here."""
    withdraw_question(connection, approval)
    agent, at = approval.agent_group_id, approval.decided_at
    decision = _DECISIONS.get(approval.status) if approval.action == network_sites.ACTION else None
    if decision is not None and agent is not None and at is not None:
        row = NetworkSite(agent, approval.request_id, decision, approval.decided_by, at)
        network_sites.put(connection, row)


def _answers(decided: str, asked: str) -> bool:
    """Return True if a decision about a site is one about a site that was asked for."""
    try:
        return Site.of(decided).covers(Site.of(asked))
    except BadSite:
        return decided == asked
