"""Agents, chats, and what connects them."""

from collections.abc import Mapping, Sequence
from typing import Unpack

from nanoclaw.admin.access import Access
from nanoclaw.records import (
    Address,
    AgentDestination,
    AgentGroup,
    DestinationType,
    MessagingGroup,
    ResponseScope,
    SessionMode,
    UnknownSenderPolicy,
    Wiring,
)
from nanoclaw.registry import (
    CreateAgentGroup,
    CreateDestination,
    CreateMessagingGroup,
    CreateWiring,
    DeleteAgentGroup,
    DeleteDestination,
    DeleteMessagingGroup,
    DeleteWiring,
    RenameDestination,
    UpdateAgentGroup,
    UpdateMessagingGroup,
    UpdateWiring,
    WireChat,
)
from nanoclaw.store import agent_groups, destinations, messaging_groups, wirings
from nanoclaw.store.agent_groups import AgentGroupChanges
from nanoclaw.store.messaging_groups import MessagingGroupChanges
from nanoclaw.store.wirings import WiringChanges


class AgentGroups(Access):
    """The agents, each with a folder."""

    async def create(self, name: str, folder: str, *, agent_provider: str | None = None) -> AgentGroup:
        """A new one. Raises `NotAllowed` for what is no folder, `Conflict` for one that is taken."""
        return await self._registry.ask(CreateAgentGroup(name, folder, agent_provider))

    async def get(self, id_: str) -> AgentGroup | None:
        """The one with that id."""
        return await self._central.run(agent_groups.get, id_)

    async def by_folder(self, folder: str) -> AgentGroup | None:
        """The one that lives in that folder."""
        return await self._central.run(agent_groups.by_folder, folder)

    async def list(self) -> Sequence[AgentGroup]:
        """All, the oldest first."""
        return await self._central.run(agent_groups.every)

    async def update(self, id_: str, **changes: Unpack[AgentGroupChanges]) -> AgentGroup:
        """Change it. Raises `NotFound`."""
        return await self._registry.ask(UpdateAgentGroup(id_, changes))

    async def delete(self, id_: str) -> AgentGroup:
        """Delete it with what it owns (contract 3). Raises `NotFound`, `StillReferenced`."""
        return await self._registry.ask(DeleteAgentGroup(id_))


class MessagingGroups(Access):
    """The chats of the channels."""

    async def create(
        self,
        address: Address,
        *,
        name: str | None = None,
        is_group: bool = False,
        unknown_sender_policy: UnknownSenderPolicy = "strict",
    ) -> MessagingGroup:
        """A chat before its first message. Raises `Conflict` where the address has one."""
        return await self._registry.ask(CreateMessagingGroup(address, name, is_group, unknown_sender_policy))

    async def get(self, id_: str) -> MessagingGroup | None:
        """The one with that id."""
        return await self._central.run(messaging_groups.get, id_)

    async def by_address(self, channel_type: str, platform_id: str) -> MessagingGroup | None:
        """The one at that address."""
        return await self._central.run(messaging_groups.by_address, channel_type, platform_id)

    async def list(self) -> Sequence[MessagingGroup]:
        """All, the oldest first."""
        return await self._central.run(messaging_groups.every)

    async def update(self, id_: str, **changes: Unpack[MessagingGroupChanges]) -> MessagingGroup:
        """Change it. Raises `NotFound`."""
        return await self._registry.ask(UpdateMessagingGroup(id_, changes))

    async def delete(self, id_: str) -> MessagingGroup:
        """Delete it with what it owns (contract 3). Raises `NotFound`, `StillReferenced`."""
        return await self._registry.ask(DeleteMessagingGroup(id_))


class Wirings(Access):
    """Which agents listen to which chats, and how."""

    async def connect(  # noqa: PLR0913 -- the settings of a wiring, by name
        self,
        address: Address,
        folder: str,
        *,
        policy: UnknownSenderPolicy = "strict",
        session_mode: SessionMode = "shared",
        response_scope: ResponseScope = "all",
        trigger_rules: Mapping[str, object] | None = None,
        priority: int = 0,
        chat_name: str | None = None,
        is_group: bool = False,
    ) -> Wiring:
        """Let the agent in that folder listen to a chat, in one step: what is missing is made.

        The chat's policy becomes `policy`; a wiring that there is stays as it is, and is returned. So does
        the row of a chat: `chat_name` and `is_group` are for a new one. Raises `NotAllowed` (its rules, its
        address, or what is no folder).
        """
        return await self._registry.ask(
            WireChat(
                address,
                folder,
                policy,
                session_mode,
                response_scope,
                trigger_rules or {},
                priority,
                chat_name=chat_name,
                is_group=is_group,
            )
        )

    async def create(  # noqa: PLR0913 -- the settings of a wiring, by name
        self,
        messaging_group_id: str,
        agent_group_id: str,
        *,
        trigger_rules: Mapping[str, object] | None = None,
        response_scope: ResponseScope = "all",
        session_mode: SessionMode = "shared",
        priority: int = 0,
    ) -> Wiring:
        """A new one, and its destination. Raises `NotFound`, `NotAllowed` (its rules), `Conflict`."""
        rules = trigger_rules or {}
        return await self._registry.ask(
            CreateWiring(messaging_group_id, agent_group_id, rules, response_scope, session_mode, priority)
        )

    async def get(self, id_: str) -> Wiring | None:
        """The one with that id."""
        return await self._central.run(wirings.get, id_)

    async def by_pair(self, messaging_group_id: str, agent_group_id: str) -> Wiring | None:
        """The one between a chat and an agent group."""
        return await self._central.run(wirings.by_pair, messaging_group_id, agent_group_id)

    async def for_chat(self, messaging_group_id: str) -> Sequence[Wiring]:
        """A chat's: the highest priority first, then the oldest."""
        return await self._central.run(wirings.for_chat, messaging_group_id)

    async def for_agent(self, agent_group_id: str) -> Sequence[Wiring]:
        """An agent group's, the oldest first."""
        return await self._central.run(wirings.for_agent, agent_group_id)

    async def list(self) -> Sequence[Wiring]:
        """All, the oldest first."""
        return await self._central.run(wirings.every)

    async def update(self, id_: str, **changes: Unpack[WiringChanges]) -> Wiring:
        """Change it. Raises `NotFound`, `NotAllowed`."""
        return await self._registry.ask(UpdateWiring(id_, changes))

    async def delete(self, id_: str) -> Wiring:
        """Delete it with the destination that it came with. Raises `NotFound`."""
        return await self._registry.ask(DeleteWiring(id_))


class Destinations(Access):
    """Where agents may send, and by which names."""

    async def create(
        self,
        agent_group_id: str,
        target_type: DestinationType,
        target_id: str,
        *,
        local_name: str | None = None,
    ) -> AgentDestination:
        """A new one; without a name it gets its target's. Raises `NotFound`, `NotAllowed`, `Conflict`."""
        return await self._registry.ask(CreateDestination(agent_group_id, target_type, target_id, local_name))

    async def get(self, agent_group_id: str, local_name: str) -> AgentDestination | None:
        """What an agent calls by that name."""
        return await self._central.run(destinations.get, agent_group_id, local_name)

    async def of_agent(self, agent_group_id: str) -> Sequence[AgentDestination]:
        """An agent's, by name."""
        return await self._central.run(destinations.of_agent, agent_group_id)

    async def to_target(self, target_type: DestinationType, target_id: str) -> Sequence[AgentDestination]:
        """Who may send there."""
        return await self._central.run(destinations.to_target, target_type, target_id)

    async def rename(self, agent_group_id: str, local_name: str, new_name: str) -> AgentDestination:
        """Another name for it. Raises `NotFound`, `NotAllowed`, `Conflict`."""
        return await self._registry.ask(RenameDestination(agent_group_id, local_name, new_name))

    async def delete(self, agent_group_id: str, local_name: str) -> AgentDestination:
        """No longer let the agent send there. Raises `NotFound`."""
        return await self._registry.ask(DeleteDestination(agent_group_id, local_name))
