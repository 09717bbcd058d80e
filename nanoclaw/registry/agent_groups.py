"""The registry's messages about agent groups."""

from attrs import frozen

from nanoclaw.records import AgentGroup
from nanoclaw.registry.actor import Registry
from nanoclaw.store import Connection, agent_groups, destinations
from nanoclaw.store.agent_groups import AgentGroupChanges


@frozen
class CreateAgentGroup:
    """A new agent, in a folder of its own; the folder is made when its first runner starts."""

    name: str
    folder: str
    agent_provider: str | None = None

    async def handle(self, actor: Registry) -> AgentGroup:
        """Make its row."""
        now = actor.clock.now()
        group = AgentGroup(actor.new_id("ag", self.folder), self.name, self.folder, self.agent_provider, now)
        await actor.commit(agent_groups.create, group)
        return group


@frozen
class UpdateAgentGroup:
    """Another name or provider."""

    id: str
    changes: AgentGroupChanges

    async def handle(self, actor: Registry) -> AgentGroup:
        """Change it, and tell all whose destinations show it."""
        group, shown_by = await actor.commit(self._update)
        for agent_group_id in (self.id, *shown_by):
            actor.changes.tell(agent_group_id)
        return group

    def _update(self, connection: Connection) -> tuple[AgentGroup, list[str]]:
        group = agent_groups.update(connection, self.id, self.changes)
        return group, [d.agent_group_id for d in destinations.to_target(connection, "agent", self.id)]


@frozen
class DeleteAgentGroup:
    """An agent nobody needs any more; see `store.agent_groups.delete` for what goes with it."""

    id: str

    async def handle(self, actor: Registry) -> AgentGroup:
        """Delete it, unless something refers to it."""
        return await actor.commit(agent_groups.delete, self.id)
