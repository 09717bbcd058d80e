"""The noun `members`."""

from collections.abc import Sequence
from typing import Annotated

from attrs import frozen

from nanoclaw.operations.declaration import Internal, operation
from nanoclaw.operations.noun import Noun
from nanoclaw.operations.rights import Right
from nanoclaw.operations.types import AgentRef, NewUserRef, UserRef
from nanoclaw.records import Member
from nanoclaw.registry import AddMember, RemoveMember
from nanoclaw.store import Connection
from nanoclaw.store.central import agent_groups, members

COLUMNS = ("user_id", "agent", "added_by", "added_at")


@frozen
class Members(Noun):
    """Who may talk to an agent without being its admin."""

    name = "members"
    summary = "who may talk to an agent without being its admin"
    table = "agent_group_members"

    @operation(right=Right.ADMIN, reads=True, columns=COLUMNS)
    async def list(self, agent: AgentRef | None = None) -> Sequence[Member]:
        """List the members, the oldest first.

        Args:
            agent: only this agent's: its folder, name or id.
        """
        if agent is not None:
            return await self._central.run(members.for_agent, agent)
        return await self._central.run(_every)

    @operation(right=Right.ADMIN)
    async def add(
        self, user: NewUserRef, agent: AgentRef, *, added_by: Annotated[str | None, Internal()] = None
    ) -> Member | None:
        """Let a user talk to an agent.

        Args:
            user: its id, such as `tg:123`; a user who has never written is created.
            agent: its folder, name or id.
            added_by: the user who is noted as having done it; default: the caller.
        """
        by = added_by or await self._known_caller()
        await self._registry.ask(AddMember(user, agent, by, create_user=True))
        return await self._central.run(_one, user, agent)

    @operation(
        right=Right.ADMIN,
        asks="Remove {user} from the members of {agent}?",
        missing="{user} is no member of {agent}",
    )
    async def remove(self, user: UserRef, agent: AgentRef) -> Member | None:
        """Remove a user from the members of an agent.

        Args:
            user: its id, such as `tg:123`.
            agent: its folder, name or id.
        """
        member = await self._central.run(_one, user, agent)
        return member if await self._registry.ask(RemoveMember(user, agent)) else None

    # -- for embedders

    async def for_agent(self, agent_group_id: str) -> Sequence[Member]:
        """Return an agent's members, the oldest first."""
        return await self._central.run(members.for_agent, agent_group_id)

    async def for_user(self, user_id: str) -> Sequence[Member]:
        """Return a user's memberships, the oldest first."""
        return await self._central.run(members.for_user, user_id)

    async def is_member(self, user_id: str, agent_group_id: str) -> bool:
        """Tell whether the user may talk to that agent, as a member or by any right."""
        return await self._central.run(members.is_member, user_id, agent_group_id)


def _one(connection: Connection, user_id: str, agent_group_id: str) -> Member | None:
    found = members.for_user(connection, user_id)
    return next((each for each in found if each.agent_group_id == agent_group_id), None)


def _every(connection: Connection) -> Sequence[Member]:
    return [
        member
        for group in agent_groups.every(connection)
        for member in members.for_agent(connection, group.id)
    ]
