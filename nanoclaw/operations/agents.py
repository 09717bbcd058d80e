"""The noun `agents`."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated

import trio
from attrs import frozen

from nanoclaw.operations.declaration import Text, operation
from nanoclaw.operations.errors import BadArguments
from nanoclaw.operations.graph import Edge, edges
from nanoclaw.operations.noun import Noun
from nanoclaw.operations.rights import Right
from nanoclaw.operations.types import AgentRef, OptionalText
from nanoclaw.records import AgentGroup
from nanoclaw.registry import CreateAgentGroup, DeleteAgentGroup, UpdateAgentGroup
from nanoclaw.store import NotAllowed
from nanoclaw.store.central import agent_groups
from nanoclaw.store.central.agent_groups import SHARED_FOLDER, AgentGroupChanges
from nanoclaw.store.engine.names import is_component

COLUMNS = ("folder", "name", "agent_provider", "id")
GRAPH = ("writer_type", "writer", "reader_type", "reader", "name", "through")


@frozen
class Agents(Noun):
    """The agents, each with a folder of its own."""

    name = "agents"
    summary = "the agents, each with a folder of its own"
    table = "agent_groups"

    @operation(right=Right.ADMIN, reads=True, columns=COLUMNS)
    async def list(self) -> Sequence[AgentGroup]:
        """List the agents, the oldest first."""
        return await self._central.run(agent_groups.every)

    @operation(right=Right.MEMBER, reads=True)
    async def show(self, agent: AgentRef) -> AgentGroup:
        """Show an agent.

        Args:
            agent: its folder, name or id.
        """
        return await self._central.run(agent_groups.require, agent)

    @operation(right=Right.ADMIN, reads=True, columns=GRAPH)
    async def graph(self) -> Sequence[Edge]:
        """Show who may write to whom: chats to agents, agents to chats, and agents to each other.

        An agent may also always answer in the chat, and to the agent, that it is asked from.
        """
        return await self._central.run(edges)

    @operation(
        right=Right.OWNER, conflict="there is an agent in the folder {folder} already; choose another folder"
    )
    async def create(
        self,
        folder: Annotated[str, Text(128)],
        *,
        name: str | None = None,
        provider: str | None = None,
    ) -> AgentGroup:
        """Create an agent and its folder.

        Args:
            folder: the name of its folder below the groups: letters, digits, `-`, `_` and `.`.
            name: what people call it; default: the folder's name.
            provider: what answers; default: as the configuration says.
        """
        await self._require_free(folder)
        await trio.to_thread.run_sync(partial(self._make_folder, folder))
        made = await self._registry.ask(CreateAgentGroup(name or folder, folder, provider))
        self._note_refusal(provider)
        return made

    async def _require_free(self, folder: str) -> None:
        """Before anything is made: a refusal leaves no folder behind."""
        if not is_component(folder) or folder.startswith("-") or folder == SHARED_FOLDER:
            raise NotAllowed(
                f"{folder!r:.140} cannot be an agent's folder: take letters, digits, `-`, `_` and `.`, with "
                f"neither a dot nor a dash in front, and not {SHARED_FOLDER!r}"
            )
        if await self._central.run(agent_groups.by_folder, folder) is not None:
            raise NotAllowed(f"there is an agent in the folder {folder} already; choose another folder")

    def _make_folder(self, folder: str) -> None:
        try:
            self._ground.make_agent_folder(folder)
        except OSError as error:
            raise NotAllowed(f"the folder {folder} cannot be made: {error.strerror or error}") from error

    @operation(right=Right.ADMIN)
    async def set(
        self, agent: AgentRef, *, name: str | None = None, provider: OptionalText | None = None
    ) -> AgentGroup:
        """Change an agent's name or provider.

        Args:
            agent: its folder, name or id.
            name: what people call it.
            provider: what answers; an empty text: as the configuration says.
        """
        changes: AgentGroupChanges = {}
        if name is not None:
            changes["name"] = name
        if provider is not None:
            changes["agent_provider"] = provider or None
        if not changes:
            raise BadArguments("nothing to change: give --name or --provider")
        changed = await self._registry.ask(UpdateAgentGroup(agent, changes))
        self._note_refusal(provider)
        return changed

    @operation(right=Right.OWNER, asks="Delete agent {agent} with its members, rights and destinations?")
    async def delete(self, agent: AgentRef) -> AgentGroup:
        """Delete an agent with its members, rights and destinations; its folder stays.

        It is refused while wirings, sessions, pending approvals or other agents' destinations name it.

        Args:
            agent: its folder, name or id.
        """
        return await self._registry.ask(DeleteAgentGroup(agent))
