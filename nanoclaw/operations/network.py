"""The noun `network`."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

from attrs import frozen

from nanoclaw.gateway.web.addresses import is_never_reached
from nanoclaw.operations.declaration import Text, operation
from nanoclaw.operations.errors import BadArguments
from nanoclaw.operations.noun import Noun
from nanoclaw.operations.rights import Right
from nanoclaw.operations.types import AgentRef
from nanoclaw.records.network import BadSite, Site, SiteDecision
from nanoclaw.registry import DecideSite, ForgetSite
from nanoclaw.store import Connection
from nanoclaw.store.central import agent_groups, network_sites

COLUMNS = ("agent", "site", "state", "since", "decided_by")
PAGE = "docs/how-to/let-an-agent-use-the-web.md"
FORMS = "must be a host such as example.org, *.example.org for all below it, or example.org:8443"

SiteText = Annotated[str, Text(longest=300)]
"""A site, in the words of the configuration."""


@frozen
class SiteView:
    """A site and an agent."""

    agent: str
    """The agent's folder."""
    site: str
    state: Literal["allowed", "refused", "asked"]
    since: datetime
    decided_by: str | None


def _read(connection: Connection, agent_group_id: str | None) -> list[SiteView]:
    folders = {group.id: group.folder for group in agent_groups.every(connection)}
    asked = [
        SiteView(folders.get(each.agent_group_id or "", "?"), each.request_id, "asked", each.created_at, None)
        for each in network_sites.questions(connection, agent_group_id)
    ]
    decided = [
        SiteView(folders.get(row.agent_group_id, "?"), row.site, row.decision, row.decided_at, row.decided_by)
        for row in network_sites.every(connection)
        if agent_group_id in (None, row.agent_group_id)
    ]
    return [*asked, *sorted(decided, key=lambda each: (each.agent, each.site))]


def _site(text: str) -> str:
    """Return a site in its one form. Raises BadArguments."""
    try:
        return str(Site.of(text))
    except BadSite as error:
        raise BadArguments(f"site: {FORMS}: {error}") from None


def _require_public(site: Site) -> None:
    """Raise BadArguments for a site that stays out of reach whatever its owner decides."""
    if is_never_reached(f"any.{site.host}" if site.below else site.host):
        raise BadArguments(
            f"site: {site} is on this machine or in a private network, where no agent gets; see {PAGE}"
        )


@frozen
class Network(Noun):
    """The sites that agents in sandboxes may reach, and those that they ask for."""

    name = "network"
    summary = "the sites that agents may reach, and those that they ask for"
    table = "network_sites"

    @operation(right=Right.ADMIN, reads=True, columns=COLUMNS)
    async def list(self, *, agent: AgentRef | None = None) -> Sequence[SiteView]:
        """List what agents ask for, the oldest first, then what was allowed and refused.

        The sites of `[sandbox] network` and `container.json` are in those files.

        Args:
            agent: only this agent's: its folder, name or id.
        """
        return await self._central.run(_read, agent)

    @operation(right=Right.OWNER, columns=COLUMNS)
    async def allow(self, agent: AgentRef, site: SiteText) -> Sequence[SiteView]:
        """Let an agent reach a site, from now on. It closes the agent's questions about that site.

        Args:
            agent: its folder, name or id.
            site: a host, `*.` and a domain for all hosts below it, or one of these with a port.
        """
        return await self._decide(agent, site, "allowed")

    @operation(right=Right.OWNER, columns=COLUMNS)
    async def refuse(self, agent: AgentRef, site: SiteText) -> Sequence[SiteView]:
        """Keep an agent from a site, also if the configuration allows it. You are not asked about it again.

        Running connections to the site end at once.

        Args:
            agent: its folder, name or id.
            site: a host, `*.` and a domain for all hosts below it, or one of these with a port.
        """
        return await self._decide(agent, site, "refused")

    @operation(right=Right.OWNER)
    async def forget(self, agent: AgentRef, site: SiteText) -> Sequence[SiteView]:
        """Forget the decision about a site, and the question about it. Then the configuration decides.

        Args:
            agent: its folder, name or id.
            site: as `network list` shows it.
        """
        name = _site(site)
        before = await self._views(agent, name)
        await self._registry.ask(ForgetSite(agent, name))
        return before

    async def _decide(self, agent: str, site: str, decision: SiteDecision) -> Sequence[SiteView]:
        name = _site(site)
        if decision == "allowed":
            _require_public(Site.of(name))
        await self._registry.ask(DecideSite(agent, name, decision, await self._known_caller()))
        return await self._views(agent, name)

    async def _views(self, agent: str, site: str) -> Sequence[SiteView]:
        return [each for each in await self._central.run(_read, agent) if each.site == site]
