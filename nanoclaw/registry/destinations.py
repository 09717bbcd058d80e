"""Messages to the registry about destinations: the chats and agents that an agent may send to."""

from attrs import frozen

from nanoclaw.records import AgentDestination, DestinationType
from nanoclaw.registry.actor import CheckedMessage, Registry
from nanoclaw.store import Connection
from nanoclaw.store.central import destinations


@frozen
class CreateDestination(CheckedMessage):
    """Let an agent send to a chat (`target_type` channel) or to another agent."""

    agent_group_id: str
    target_type: DestinationType
    target_id: str
    local_name: str | None = None
    """None derives a name from the target's name."""
    keep_same: bool = False
    """Keep an existing destination of this name and target, and detach it from its wiring."""

    async def handle(self, actor: Registry) -> AgentDestination:
        """Insert the destination and return it. A name that is taken raises `Conflict`."""
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
class RenameDestination(CheckedMessage):
    """Rename a destination."""

    agent_group_id: str
    local_name: str
    new_name: str

    async def handle(self, actor: Registry) -> AgentDestination:
        """Rename and return it. A name that is taken raises `Conflict`."""
        names = (self.local_name, self.new_name)
        destination = await actor.commit(destinations.rename, self.agent_group_id, *names)
        actor.changes.tell(self.agent_group_id)
        return destination


@frozen
class DeleteDestination(CheckedMessage):
    """Stop an agent from sending to a destination."""

    agent_group_id: str
    local_name: str

    async def handle(self, actor: Registry) -> AgentDestination:
        """Delete and return it."""
        destination = await actor.commit(destinations.delete, self.agent_group_id, self.local_name)
        actor.changes.tell(self.agent_group_id)
        return destination
