"""Messages to the registry about the sites that agents may reach, and the questions about them.

A question is an approval with the action `network`.
"""

from collections.abc import Mapping, Sequence

from attrs import evolve, frozen

from nanoclaw.records import ApprovalAsker, ApprovalStatus, PendingApproval
from nanoclaw.records.approvals import Asked
from nanoclaw.records.network import BadSite, NetworkSite, Site, SiteDecision
from nanoclaw.registry.actor import CheckedMessage, Registry
from nanoclaw.registry.performed_actions import ActionRefused
from nanoclaw.store import Connection, NotFound
from nanoclaw.store.central import (
    agent_groups,
    approval_askers,
    network_sites,
    pending_approvals,
    sessions,
)

MOST_OPEN = 20
"""Limit of the open requests of one agent, and of those of the host about one agent and action."""
_STATUSES: Mapping[SiteDecision, ApprovalStatus] = {"allowed": "approved", "refused": "rejected"}


@frozen
class AskForSite(CheckedMessage):
    """Ask people if an agent may reach a site. One question an agent and site is open at a time."""

    agent_group_id: str
    site: str
    session_id: str

    async def handle(self, actor: Registry) -> bool:
        """Store the question. Return False if it cannot be asked: the agent has `MOST_OPEN` already."""
        id_ = actor.new_id("appr", self.agent_group_id, self.site)
        try:
            asked = await actor.note(self._ask, actor, id_)
        except ActionRefused:
            return False
        actor.changes.tell_network()
        actor.changes.tell_approvals()
        return asked

    def _ask(self, connection: Connection, actor: Registry, id_: str) -> bool:
        waiting = network_sites.questions(connection, self.agent_group_id)
        if len(waiting) >= MOST_OPEN:
            return any(each.request_id == self.site for each in waiting)
        values = {"site": self.site, "session": self.session_id}
        # The question is the agent's: it outlives the session that met it.
        asked = Asked(network_sites.ACTION, values, self.agent_group_id, request_id=self.site)
        approval = actor.approvals.request(connection, asked, id_, actor.clock.now()).approval
        if sessions.get(connection, self.session_id) is not None:
            approval_askers.add(connection, ApprovalAsker(approval.approval_id, self.session_id))
        return True


@frozen
class DecideSite(CheckedMessage):
    """Allow or refuse a site for an agent."""

    agent_group_id: str
    site: str
    decision: SiteDecision
    by: str | None

    async def handle(self, actor: Registry) -> Sequence[PendingApproval]:
        """Store the decision, and close the questions that it answers. Return those."""
        closed = await actor.note(self._decide, actor)
        actor.changes.tell_network()
        actor.changes.tell_approvals()
        return closed

    def _decide(self, connection: Connection, actor: Registry) -> list[PendingApproval]:
        now = actor.clock.now()
        agent_groups.require(connection, self.agent_group_id)
        row = NetworkSite(self.agent_group_id, self.site, self.decision, self.by, now)
        network_sites.put(connection, row)
        answered = [
            each
            for each in network_sites.questions(connection, self.agent_group_id)
            if _answers(self.site, each.request_id)
        ]
        status = _STATUSES[self.decision]
        for each in answered:
            closed = evolve(each, status=status, decided_by=self.by, decided_at=now)
            actor.approvals.close(connection, closed, {"site": each.request_id}, now)
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
        actor.changes.tell_approvals()

    def _forget(self, connection: Connection) -> None:
        forgotten = network_sites.forget(connection, self.agent_group_id, self.site)
        for each in network_sites.questions(connection, self.agent_group_id):
            if each.request_id == self.site:
                pending_approvals.delete(connection, each.approval_id)
                forgotten = True
        if not forgotten:
            raise NotFound(f"there is no decision and no question about {self.site!r:.140}")


def _answers(decided: str, asked: str) -> bool:
    """Return True if a decision about a site is one about a site that was asked for."""
    try:
        return Site.of(decided).covers(Site.of(asked))
    except BadSite:
        return decided == asked
