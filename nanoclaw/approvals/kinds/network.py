"""The kind `network`: an agent in a sandbox asks to reach a site."""

from collections.abc import Mapping

from attrs import frozen

from nanoclaw.approvals.kind import APPROVE, REJECT, Asked, Wanted
from nanoclaw.records import Option, PendingApproval
from nanoclaw.records.network import BadSite, NetworkSite, Site, SiteDecision
from nanoclaw.registry import ActionRefused
from nanoclaw.store import Connection
from nanoclaw.store.central import agent_groups, network_sites

_DECISIONS: Mapping[str, SiteDecision] = {"approved": "allowed", "rejected": "refused"}


@frozen
class NetworkKind:
    """Lets an agent reach a site from then on, or keeps it from it. The gateway asks for it."""

    action: str = network_sites.ACTION
    for_agents: bool = False

    def check(self, connection: Connection, asked: Asked) -> Wanted:
        """Return the question about a site."""
        site, agent = asked.values.get("site"), asked.agent_group_id
        if not isinstance(site, str) or agent is None:
            raise ActionRefused("site is missing")
        try:
            Site.of(site)
        except BadSite as error:
            raise ActionRefused(str(error)) from error
        group = agent_groups.require(connection, agent)
        return Wanted(
            payload=dict(asked.values),
            same=site,
            title=f"{group.folder} asks to reach {site}"[:200],
            text=f"The agent {group.folder} asks to reach {site} from its sandbox, now and later.",
            options=(
                Option("Allow", "Allowed", APPROVE.value),
                Option("Refuse", "Refused", REJECT.value),
            ),
        )

    def apply(self, connection: Connection, approval: PendingApproval) -> Mapping[str, object]:
        """Store the decision about the site. A question that expires is forgotten, and may come again."""
        decision = _DECISIONS.get(approval.status)
        agent, at, site = approval.agent_group_id, approval.decided_at, approval.payload.get("site")
        site = site if isinstance(site, str) else approval.request_id
        if decision is not None and agent is not None and at is not None:
            network_sites.put(connection, NetworkSite(agent, site, decision, approval.decided_by, at))
        return {"site": site}


KIND = NetworkKind()
