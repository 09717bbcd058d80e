"""The agents of a host as a channel sees them, for networks whose users choose the agent that they write to.

A channel that has a method `use_agents` is given them before its sender is opened.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar, runtime_checkable

from attrs import frozen

from actors import ActorError, Ref
from nanoclaw.channels.protocol import ChannelUnavailable
from nanoclaw.records import Address, AgentGroup
from nanoclaw.registry import Registry, WireChat
from nanoclaw.store import Connection, Reader, StoreError
from nanoclaw.store.central import agent_groups, members, messaging_groups, wirings

T = TypeVar("T")


class Agents(Protocol):
    """The agents of the host.

    Raises:
        ChannelUnavailable: the host cannot say now.
    """

    async def of_user(self, user_id: str, /) -> Sequence[AgentGroup]:
        """Return the agents that a user may talk to: as a member, an admin or the owner."""
        ...

    async def of_chat(self, address: Address, /) -> Sequence[AgentGroup]:
        """Return the agents that are wired to a chat."""
        ...

    async def connect(self, user_id: str, address: Address, folder: str, /) -> bool:
        """Wire a direct chat of a user to an agent, a session for each thread.

        Return False, and change nothing, if the user may not talk to the agent. A wired chat stays as it is.
        """
        ...


@runtime_checkable
class UsesAgents(Protocol):
    """A channel whose users choose an agent."""

    def use_agents(self, agents: Agents, /) -> None:
        """Keep the agents for later calls. It is called once a start, before the sender is opened."""
        ...


@frozen
class RegistryAgents:
    """The agents in `v2.db`."""

    central: Reader
    registry: Ref[Registry]

    async def of_user(self, user_id: str) -> Sequence[AgentGroup]:
        """Read them."""
        return await self._read(_of_user, user_id)

    async def of_chat(self, address: Address) -> Sequence[AgentGroup]:
        """Read them."""
        return await self._read(_of_chat, address)

    async def connect(self, user_id: str, address: Address, folder: str) -> bool:
        """Wire them. The chat's policy is strict, so that only those who may talk to the agent do."""
        if folder not in {each.folder for each in await self.of_user(user_id)}:
            return False
        if folder not in {each.folder for each in await self.of_chat(address)}:
            try:
                await self.registry.ask(
                    WireChat(address, folder, "strict", "per-thread", chat_name=address.platform_id)
                )
            except (StoreError, ActorError) as error:
                raise ChannelUnavailable(f"the chat could not be wired: {error}") from error
        return True

    async def _read(
        self, read: Callable[[Connection, T], Sequence[AgentGroup]], argument: T
    ) -> Sequence[AgentGroup]:
        try:
            return await self.central.run(read, argument)
        except StoreError as error:
            raise ChannelUnavailable(f"the agents cannot be read now: {error}") from error


def _of_user(connection: Connection, user_id: str) -> list[AgentGroup]:
    return [
        each for each in agent_groups.every(connection) if members.is_member(connection, user_id, each.id)
    ]


def _of_chat(connection: Connection, address: Address) -> list[AgentGroup]:
    chat = messaging_groups.by_address(connection, address.channel_type, address.platform_id)
    if chat is None:
        return []
    wired = {each.agent_group_id for each in wirings.for_chat(connection, chat.id)}
    return [each for each in agent_groups.every(connection) if each.id in wired]
