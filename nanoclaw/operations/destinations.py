"""The noun `destinations`."""

from collections.abc import Sequence
from typing import Annotated

from attrs import frozen

from nanoclaw.operations.declaration import Listed, Named, operation
from nanoclaw.operations.errors import BadArguments
from nanoclaw.operations.noun import Noun
from nanoclaw.operations.rights import Right
from nanoclaw.operations.types import AgentRef, ChatRef
from nanoclaw.records import AgentDestination, DestinationType
from nanoclaw.registry import CreateDestination, DeleteDestination, RenameDestination
from nanoclaw.store import Connection, NotAllowed
from nanoclaw.store.central import agent_groups, destinations

COLUMNS = ("agent", "local_name", "target", "created_at")

LocalName = Annotated[str, Named("name"), Listed("destinations.list", "local_name", by="agent")]
"""The name of an agent's destination."""


@frozen
class Destinations(Noun):
    """Where agents may send, and by which names."""

    name = "destinations"
    summary = "where agents may send, and by which names"
    table = "agent_destinations"

    @operation(right=Right.ADMIN, reads=True, columns=COLUMNS)
    async def list(self, agent: AgentRef | None = None) -> Sequence[AgentDestination]:
        """List the destinations, by agent and name.

        Args:
            agent: only this agent's: its folder, name or id.
        """
        if agent is not None:
            return await self._central.run(destinations.of_agent, agent)
        return await self._central.run(_every)

    @operation(right=Right.ADMIN, reads=True)
    async def show(self, agent: AgentRef, local_name: LocalName) -> AgentDestination:
        """Show a destination.

        Args:
            agent: its folder, name or id.
            local_name: what the agent calls the destination.
        """
        return await self._central.run(destinations.require, agent, local_name)

    @operation(right=Right.ADMIN, conflict="agent {agent} has a destination {name} already")
    async def add(
        self,
        agent: AgentRef,
        local_name: Annotated[str | None, Named("name")] = None,
        *,
        chat: ChatRef | None = None,
        to_agent: Annotated[AgentRef | None, Named("to_agent", flag="--agent")] = None,
    ) -> AgentDestination:
        """Let an agent send to a chat or to another agent.

        A destination that has that name and target already stays, also when its wiring goes.

        Args:
            agent: its folder, name or id.
            local_name: what the agent calls the destination: a-z, 0-9 and `-`; default: after its target.
            chat: the chat to send to.
            to_agent: the agent to send to.
        """
        if (chat is None) == (to_agent is None):
            raise BadArguments("give either --chat or --agent")
        if to_agent == agent:
            raise NotAllowed("an agent cannot send to itself; name another agent")
        target: DestinationType = "channel" if chat is not None else "agent"
        return await self._registry.ask(
            CreateDestination(agent, target, str(chat or to_agent), local_name, keep_same=True)
        )

    @operation(right=Right.ADMIN, conflict="agent {agent} has a destination {new_name} already")
    async def set(self, agent: AgentRef, local_name: LocalName, new_name: str) -> AgentDestination:
        """Give a destination another name.

        Args:
            agent: its folder, name or id.
            local_name: what the agent calls it now.
            new_name: what the agent is to call it: a-z, 0-9 and `-`.
        """
        return await self.rename(agent, local_name, new_name)

    @operation(right=Right.ADMIN, asks="Stop {agent} from sending to {name}?")
    async def remove(self, agent: AgentRef, local_name: LocalName) -> AgentDestination:
        """Stop an agent from sending somewhere.

        Args:
            agent: its folder, name or id.
            local_name: what the agent calls the destination.
        """
        return await self.delete(agent, local_name)

    # -- for embedders

    async def create(
        self,
        agent_group_id: str,
        target_type: DestinationType,
        target_id: str,
        *,
        local_name: str | None = None,
    ) -> AgentDestination:
        """Create one, by default with its target's name. Raises `NotFound`, `NotAllowed`, `Conflict`."""
        return await self._registry.ask(CreateDestination(agent_group_id, target_type, target_id, local_name))

    async def get(self, agent_group_id: str, local_name: str) -> AgentDestination | None:
        """Return the agent's destination with that name."""
        return await self._central.run(destinations.get, agent_group_id, local_name)

    async def of_agent(self, agent_group_id: str) -> Sequence[AgentDestination]:
        """Return an agent's destinations, by name."""
        return await self._central.run(destinations.of_agent, agent_group_id)

    async def to_target(self, target_type: DestinationType, target_id: str) -> Sequence[AgentDestination]:
        """Return the destinations with that target."""
        return await self._central.run(destinations.to_target, target_type, target_id)

    async def rename(self, agent_group_id: str, local_name: str, new_name: str) -> AgentDestination:
        """Rename it. Raises `NotFound`, `NotAllowed`, `Conflict`."""
        return await self._registry.ask(RenameDestination(agent_group_id, local_name, new_name))

    async def delete(self, agent_group_id: str, local_name: str) -> AgentDestination:
        """Stop the agent from sending there. Raises `NotFound`."""
        return await self._registry.ask(DeleteDestination(agent_group_id, local_name))


def _every(connection: Connection) -> Sequence[AgentDestination]:
    return [
        found
        for group in agent_groups.every(connection)
        for found in destinations.of_agent(connection, group.id)
    ]
