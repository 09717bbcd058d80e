"""Messages to the registry about agent groups."""

from attrs import frozen

from nanoclaw.records import AgentGroup
from nanoclaw.registry.actor import CheckedMessage, Registry
from nanoclaw.store import Connection
from nanoclaw.store.central import agent_groups, destinations
from nanoclaw.store.central.agent_groups import AgentGroupChanges


def ensure_agent_group(connection: Connection, actor: Registry, folder: str, name: str) -> AgentGroup:
    """Return the agent group with this folder. If there is none, insert one with this name."""
    found = agent_groups.by_folder(connection, folder)
    if found is not None:
        return found
    group = AgentGroup(actor.new_id("ag", folder), name, folder, None, actor.clock.now())
    agent_groups.create(connection, group)
    return group


@frozen
class CreateAgentGroup(CheckedMessage):
    """Create an agent group with a folder of its own. The folder is made when its first runner starts."""

    name: str
    folder: str
    agent_provider: str | None = None

    async def handle(self, actor: Registry) -> AgentGroup:
        """Insert the row and return it."""
        now = actor.clock.now()
        group = AgentGroup(actor.new_id("ag", self.folder), self.name, self.folder, self.agent_provider, now)
        await actor.commit(agent_groups.create, group)
        return group


@frozen
class UpdateAgentGroup(CheckedMessage):
    """Change the name or provider of an agent group."""

    id: str
    changes: AgentGroupChanges

    async def handle(self, actor: Registry) -> AgentGroup:
        """Change the row, and notify all agents whose destinations show it."""
        group, shown_by = await actor.commit(self._update)
        for agent_group_id in (self.id, *shown_by):
            actor.changes.tell(agent_group_id)
        return group

    def _update(self, connection: Connection) -> tuple[AgentGroup, list[str]]:
        group = agent_groups.update(connection, self.id, self.changes)
        return group, [d.agent_group_id for d in destinations.to_target(connection, "agent", self.id)]


@frozen
class DeleteAgentGroup(CheckedMessage):
    """Delete an agent group; `store.central.agent_groups.delete` says what is deleted with it."""

    id: str

    async def handle(self, actor: Registry) -> AgentGroup:
        """Delete the row, unless other rows refer to it."""
        return await actor.commit(agent_groups.delete, self.id)
