"""Users, their rights, memberships and direct chats, and those who are not let in."""

from collections.abc import Sequence
from typing import Unpack

from nanoclaw.admin.access import Access
from nanoclaw.records import Address, Member, Role, UnregisteredSender, User, UserDm, UserRole
from nanoclaw.registry import (
    AddMember,
    CreateUser,
    DeleteUser,
    ForgetDm,
    ForgetUnregisteredSender,
    GrantRole,
    NoteDm,
    RemoveMember,
    RevokeRole,
    UpdateUser,
)
from nanoclaw.store import members, unregistered_senders, user_dms, user_roles, users
from nanoclaw.store.users import UserChanges


class Users(Access):
    """Identities on platforms."""

    async def create(self, id_: str, *, display_name: str | None = None) -> User:
        """A user before their first message, such as `tg:123`. Raises `NotAllowed`, `Conflict`."""
        return await self._registry.ask(CreateUser(id_, display_name))

    async def get(self, id_: str) -> User | None:
        """The one with that id."""
        return await self._central.run(users.get, id_)

    async def list(self) -> Sequence[User]:
        """All, the oldest first."""
        return await self._central.run(users.every)

    async def update(self, id_: str, **changes: Unpack[UserChanges]) -> User:
        """Change it; the next message brings the platform's name again. Raises `NotFound`."""
        return await self._registry.ask(UpdateUser(id_, changes))

    async def delete(self, id_: str) -> User:
        """Delete it with what it owns (contract 3). Raises `NotFound`, `StillReferenced`."""
        return await self._registry.ask(DeleteUser(id_))


class Roles(Access):
    """Who is an owner or an admin."""

    async def grant(
        self, user_id: str, role: Role, agent_group_id: str | None = None, *, granted_by: str | None = None
    ) -> None:
        """Give a right; None is everything. Raises `NotFound`, `NotAllowed` (an owner of one group)."""
        await self._registry.ask(GrantRole(user_id, role, agent_group_id, granted_by))

    async def revoke(self, user_id: str, role: Role, agent_group_id: str | None = None) -> bool:
        """Take exactly that right away; False if the user did not have it."""
        return await self._registry.ask(RevokeRole(user_id, role, agent_group_id))

    async def for_user(self, user_id: str) -> Sequence[UserRole]:
        """A user's: owner first, then the global ones."""
        return await self._central.run(user_roles.for_user, user_id)

    async def list(self) -> Sequence[UserRole]:
        """All: owners first, then the global ones."""
        return await self._central.run(user_roles.every)

    async def admins(self, agent_group_id: str) -> Sequence[str]:
        """The ids of all who may decide for an agent group."""
        return await self._central.run(user_roles.admins, agent_group_id)

    async def is_owner(self, user_id: str) -> bool:
        """Whether the user owns this installation."""
        return await self._central.run(user_roles.is_owner, user_id)

    async def is_global_admin(self, user_id: str) -> bool:
        """Whether the user is an admin of everything; an owner is not one by that alone."""
        return await self._central.run(user_roles.is_global_admin, user_id)

    async def is_admin_of(self, user_id: str, agent_group_id: str) -> bool:
        """Whether the user is an admin of that agent group itself."""
        return await self._central.run(user_roles.is_admin_of, user_id, agent_group_id)

    async def may_administer(self, user_id: str, agent_group_id: str) -> bool:
        """Whether the user may decide for that agent group, by any right."""
        return await self._central.run(user_roles.may_administer, user_id, agent_group_id)


class Members(Access):
    """Who may talk to an agent without being its admin."""

    async def add(self, user_id: str, agent_group_id: str, *, added_by: str | None = None) -> None:
        """Let a user in. Raises `NotFound`."""
        await self._registry.ask(AddMember(user_id, agent_group_id, added_by))

    async def remove(self, user_id: str, agent_group_id: str) -> bool:
        """Take a user out; False if they were no member."""
        return await self._registry.ask(RemoveMember(user_id, agent_group_id))

    async def for_agent(self, agent_group_id: str) -> Sequence[Member]:
        """An agent group's, the oldest first."""
        return await self._central.run(members.for_agent, agent_group_id)

    async def for_user(self, user_id: str) -> Sequence[Member]:
        """A user's memberships, the oldest first."""
        return await self._central.run(members.for_user, user_id)

    async def is_member(self, user_id: str, agent_group_id: str) -> bool:
        """Whether the user may talk to that agent, as a member or by any right."""
        return await self._central.run(members.is_member, user_id, agent_group_id)


class DirectChats(Access):
    """In which chats channels reach users alone."""

    async def note(self, user_id: str, channel_type: str, messaging_group_id: str) -> UserDm:
        """Note it, instead of what was noted before. Raises `NotFound`."""
        return await self._registry.ask(NoteDm(user_id, channel_type, messaging_group_id))

    async def get(self, user_id: str, channel_type: str) -> UserDm | None:
        """Where a channel reaches a user."""
        return await self._central.run(user_dms.get, user_id, channel_type)

    async def for_user(self, user_id: str) -> Sequence[UserDm]:
        """Where a user is reached, by channel."""
        return await self._central.run(user_dms.for_user, user_id)

    async def forget(self, user_id: str, channel_type: str) -> UserDm:
        """Forget it. Raises `NotFound`."""
        return await self._registry.ask(ForgetDm(user_id, channel_type))


class Strangers(Access):
    """Those who wrote and were not let in."""

    async def list(self) -> Sequence[UnregisteredSender]:
        """All, the latest first."""
        return await self._central.run(unregistered_senders.every)

    async def forget(self, address: Address, user_id: str | None) -> Sequence[str]:
        """Delete what is recorded of one in a chat; returns the reasons."""
        return await self._registry.ask(ForgetUnregisteredSender(address, user_id))
