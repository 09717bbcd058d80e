"""The registry's messages about destinations: where an agent may send, and by which names."""

from attrs import frozen

from nanoclaw.records import AgentDestination, DestinationType
from nanoclaw.registry.actor import Registry
from nanoclaw.store import Connection, destinations


@frozen
class CreateDestination:
    """Let an agent send to a chat (`target_type` channel) or to another agent."""

    agent_group_id: str
    target_type: DestinationType
    target_id: str
    local_name: str | None = None
    """None: made of the chat's or the other agent's."""
    keep_same: bool = False
    """Whether one of that name and target is kept, and no longer goes with a wiring."""

    async def handle(self, actor: Registry) -> AgentDestination:
        """Make it; where the name is taken that is a conflict."""
        destination = await actor.commit(self._make, actor)
        actor.changes.tell(self.agent_group_id)
        return destination

    def _make(self, connection: Connection, actor: Registry) -> AgentDestination:
        target = (self.target_type, self.target_id)
        if self.keep_same and self.local_name is not None:
            same = destinations.keep(connection, self.agent_group_id, self.local_name, *target)
            if same is not None:
                return same
        name = self.local_name or destinations.free_name(connection, self.agent_group_id, *target)
        destination = AgentDestination(self.agent_group_id, name, *target, actor.clock.now())
        destinations.create(connection, destination)
        return destination


@frozen
class RenameDestination:
    """Another name for it."""

    agent_group_id: str
    local_name: str
    new_name: str

    async def handle(self, actor: Registry) -> AgentDestination:
        """Change it; where the name is taken that is a conflict."""
        names = (self.local_name, self.new_name)
        destination = await actor.commit(destinations.rename, self.agent_group_id, *names)
        actor.changes.tell(self.agent_group_id)
        return destination


@frozen
class DeleteDestination:
    """No longer let the agent send there."""

    agent_group_id: str
    local_name: str

    async def handle(self, actor: Registry) -> AgentDestination:
        """Delete it."""
        destination = await actor.commit(destinations.delete, self.agent_group_id, self.local_name)
        actor.changes.tell(self.agent_group_id)
        return destination
