"""Rows of the central database that no operation covers, and former names, for embedders.

The operations call `agent_groups` `agents`, `messaging_groups` `chats` and `unregistered_senders` `dropped`.
"""

from collections.abc import Iterable, Sequence
from typing import Unpack

from attrs import frozen

from nanoclaw.operations.ground import Ground
from nanoclaw.records import (
    Address,
    AgentGroup,
    MessagingGroup,
    ParkedEvent,
    UnknownSenderPolicy,
    UnregisteredSender,
    UserDm,
)
from nanoclaw.registry import (
    CreateAgentGroup,
    CreateMessagingGroup,
    DeleteAgentGroup,
    DeleteMessagingGroup,
    ForgetDm,
    ForgetUnregisteredSender,
    NoteDm,
    RemoveParked,
    UpdateAgentGroup,
    UpdateMessagingGroup,
)
from nanoclaw.store.central import (
    agent_groups,
    messaging_groups,
    parked_events,
    unregistered_senders,
    user_dms,
)
from nanoclaw.store.central.agent_groups import AgentGroupChanges
from nanoclaw.store.central.messaging_groups import MessagingGroupChanges


@frozen
class Rows:
    """One table, for the host's own program."""

    _ground: Ground


@frozen
class AgentGroups(Rows):
    """The agents, each with a folder."""

    async def create(self, name: str, folder: str, *, agent_provider: str | None = None) -> AgentGroup:
        """Create an agent. Raises `NotAllowed` for a bad folder, `Conflict` for one that is taken."""
        return await self._ground.registry.ask(CreateAgentGroup(name, folder, agent_provider))

    async def get(self, id_: str) -> AgentGroup | None:
        """Return the row with that id."""
        return await self._ground.central.run(agent_groups.get, id_)

    async def by_folder(self, folder: str) -> AgentGroup | None:
        """Return the agent in that folder."""
        return await self._ground.central.run(agent_groups.by_folder, folder)

    async def list(self) -> Sequence[AgentGroup]:
        """Return all rows, the oldest first."""
        return await self._ground.central.run(agent_groups.every)

    async def update(self, id_: str, **changes: Unpack[AgentGroupChanges]) -> AgentGroup:
        """Change it. Raises `NotFound`."""
        return await self._ground.registry.ask(UpdateAgentGroup(id_, changes))

    async def delete(self, id_: str) -> AgentGroup:
        """Delete it with what it owns (contract 3). Raises `NotFound`, `StillReferenced`."""
        return await self._ground.registry.ask(DeleteAgentGroup(id_))


@frozen
class MessagingGroups(Rows):
    """The chats of the channels."""

    async def create(
        self,
        address: Address,
        *,
        name: str | None = None,
        is_group: bool = False,
        unknown_sender_policy: UnknownSenderPolicy = "strict",
    ) -> MessagingGroup:
        """Create a chat before its first message. Raises `Conflict` where the address has one."""
        return await self._ground.registry.ask(
            CreateMessagingGroup(address, name, is_group, unknown_sender_policy)
        )

    async def get(self, id_: str) -> MessagingGroup | None:
        """Return the row with that id."""
        return await self._ground.central.run(messaging_groups.get, id_)

    async def by_address(self, channel_type: str, platform_id: str) -> MessagingGroup | None:
        """Return the chat at that address."""
        return await self._ground.central.run(messaging_groups.by_address, channel_type, platform_id)

    async def list(self) -> Sequence[MessagingGroup]:
        """Return all rows, the oldest first."""
        return await self._ground.central.run(messaging_groups.every)

    async def update(self, id_: str, **changes: Unpack[MessagingGroupChanges]) -> MessagingGroup:
        """Change it. Raises `NotFound`."""
        return await self._ground.registry.ask(UpdateMessagingGroup(id_, changes))

    async def delete(self, id_: str) -> MessagingGroup:
        """Delete it with what it owns (contract 3). Raises `NotFound`, `StillReferenced`."""
        return await self._ground.registry.ask(DeleteMessagingGroup(id_))


@frozen
class UnregisteredSenders(Rows):
    """People who wrote and were not let in."""

    async def list(self) -> Sequence[UnregisteredSender]:
        """Return all rows, the latest first."""
        await self._ground.write_drops()
        return await self._ground.central.run(unregistered_senders.every)

    async def forget(self, address: Address, user_id: str | None) -> Sequence[str]:
        """Delete the records of a sender in a chat; return the reasons."""
        return await self._ground.registry.ask(ForgetUnregisteredSender(address, user_id))


@frozen
class DirectChats(Rows):
    """The chats in which channels reach users alone."""

    async def note(self, user_id: str, channel_type: str, messaging_group_id: str) -> UserDm:
        """Record a direct chat, replacing the earlier one. Raises `NotFound`."""
        return await self._ground.registry.ask(NoteDm(user_id, channel_type, messaging_group_id))

    async def get(self, user_id: str, channel_type: str) -> UserDm | None:
        """Return the chat in which a channel reaches a user."""
        return await self._ground.central.run(user_dms.get, user_id, channel_type)

    async def for_user(self, user_id: str) -> Sequence[UserDm]:
        """Return the chats in which a user is reached, by channel."""
        return await self._ground.central.run(user_dms.for_user, user_id)

    async def forget(self, user_id: str, channel_type: str) -> UserDm:
        """Forget it. Raises `NotFound`."""
        return await self._ground.registry.ask(ForgetDm(user_id, channel_type))


@frozen
class Parked(Rows):
    """Accepted events whose sessions cannot take them."""

    async def list(self) -> Sequence[ParkedEvent]:
        """Return all of them, in the order in which they were parked."""
        return await self._ground.central.run(parked_events.every)

    async def for_session(self, session_id: str) -> Sequence[ParkedEvent]:
        """Return a session's events, in the order in which they were parked."""
        return await self._ground.central.run(parked_events.for_session, session_id)

    async def remove(self, ids: Iterable[str]) -> None:
        """Delete them; nobody will see them any more."""
        await self._ground.registry.ask(RemoveParked(list(ids)))
