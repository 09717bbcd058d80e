"""The noun `roles`."""

from collections.abc import Sequence
from typing import Annotated

from attrs import frozen

from nanoclaw.operations.declaration import Internal, Named, operation
from nanoclaw.operations.noun import Noun
from nanoclaw.operations.rights import Right
from nanoclaw.operations.types import AgentRef, NewUserRef, UserRef
from nanoclaw.records import Role, UserRole
from nanoclaw.registry import GrantRole, RevokeRole
from nanoclaw.store.central import user_roles

COLUMNS = ("user_id", "role", "agent", "granted_by", "granted_at")


@frozen
class Roles(Noun):
    """Who is an owner or an admin."""

    name = "roles"
    summary = "who is an owner or an admin"
    table = "user_roles"

    @operation(right=Right.ADMIN, reads=True, columns=COLUMNS)
    async def list(self, *, user: UserRef | None = None, agent: AgentRef | None = None) -> Sequence[UserRole]:
        """List the rights: owners first, then the global ones.

        Args:
            user: only this user's.
            agent: only those over this agent alone.
        """
        found = await self._central.run(user_roles.every)
        return [
            each for each in found if user in {None, each.user_id} and agent in {None, each.agent_group_id}
        ]

    @operation(right=Right.OWNER)
    async def grant(
        self,
        user: NewUserRef,
        role: Role,
        agent: Annotated[AgentRef | None, Named("agent", option=True)] = None,
        *,
        granted_by: Annotated[str | None, Internal()] = None,
    ) -> UserRole | None:
        """Make a user an owner, or an admin of everything or of one agent.

        Args:
            user: its id, such as `tg:123`; a user who has never written is created.
            role: an owner may do everything; an admin may not grant rights.
            agent: the agent to be admin of; default: all.
            granted_by: the user who is noted as having done it; default: the caller.
        """
        by = granted_by or await self._known_caller()
        await self._registry.ask(GrantRole(user, role, agent, by, create_user=True))
        found = await self._central.run(user_roles.for_user, user)
        return next((each for each in found if (each.role, each.agent_group_id) == (role, agent)), None)

    @operation(
        right=Right.OWNER,
        asks="Take the right {role} from {user}?",
        missing="{user} does not have that right",
    )
    async def revoke(
        self,
        user: UserRef,
        role: Role,
        agent: Annotated[AgentRef | None, Named("agent", option=True)] = None,
    ) -> UserRole | None:
        """Take a right away; others that the user has stay.

        Args:
            user: its id, such as `tg:123`.
            role: the right.
            agent: the agent that it is for; default: the right over everything.
        """
        found = await self._central.run(user_roles.for_user, user)
        had = await self._registry.ask(RevokeRole(user, role, agent))
        fits = (each for each in found if (each.role, each.agent_group_id) == (role, agent))
        return next(fits, None) if had else None

    # -- for embedders

    async def for_user(self, user_id: str) -> Sequence[UserRole]:
        """Return a user's rights: owner first, then the global ones."""
        return await self._central.run(user_roles.for_user, user_id)

    async def admins(self, agent_group_id: str) -> Sequence[str]:
        """Return the ids of all who may decide for an agent."""
        return await self._central.run(user_roles.admins, agent_group_id)

    async def is_owner(self, user_id: str) -> bool:
        """Tell whether the user owns this installation."""
        return await self._central.run(user_roles.is_owner, user_id)

    async def is_global_admin(self, user_id: str) -> bool:
        """Tell whether the user is an admin of everything; an owner is not one by that alone."""
        return await self._central.run(user_roles.is_global_admin, user_id)

    async def is_admin_of(self, user_id: str, agent_group_id: str) -> bool:
        """Tell whether the user is an admin of that agent itself."""
        return await self._central.run(user_roles.is_admin_of, user_id, agent_group_id)

    async def may_administer(self, user_id: str, agent_group_id: str) -> bool:
        """Tell whether the user may decide for that agent, by any right."""
        return await self._central.run(user_roles.may_administer, user_id, agent_group_id)
