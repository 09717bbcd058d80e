"""The registry's messages about users, their rights and their memberships."""

from datetime import datetime

from attrs import frozen

from nanoclaw.records import Role, User
from nanoclaw.registry.actor import Registry
from nanoclaw.store import Connection, NotAllowed, members, user_roles, users
from nanoclaw.store.users import UserChanges


def kind_of(user_id: str) -> str:
    """The kind of a user: what stands before the colon of its id.

    Raises:
        NotAllowed: nothing does.
    """
    kind, colon, name = user_id.partition(":")
    if not (kind and colon and name):
        raise NotAllowed(f"{user_id!r} is no user's id; one looks like tg:123 or email:a@x.com")
    return kind


@frozen
class EnsureUser:
    """The row of a user, with the name last seen."""

    user_id: str
    display_name: str | None

    async def handle(self, actor: Registry) -> None:
        """Create or rename it."""
        kind = self.user_id.partition(":")[0]
        user = User(self.user_id, kind, self.display_name, actor.clock.now())
        await actor.commit(users.upsert, user)


@frozen
class CreateUser:
    """A user before their first message."""

    id: str
    display_name: str | None = None

    async def handle(self, actor: Registry) -> User:
        """Make the row; where the id is taken that is a conflict."""
        user = User(self.id, kind_of(self.id), self.display_name, actor.clock.now())
        await actor.commit(users.create, user)
        return user


@frozen
class UpdateUser:
    """Another name."""

    id: str
    changes: UserChanges

    async def handle(self, actor: Registry) -> User:
        """Change it."""
        return await actor.commit(users.update, self.id, self.changes)


@frozen
class DeleteUser:
    """A user with their rights and memberships; see `store.users.delete`."""

    id: str

    async def handle(self, actor: Registry) -> User:
        """Delete it, unless others have rights or memberships from it."""
        user, had_rights = await actor.commit(self._delete)
        if had_rights:
            actor.changes.tell_all()
        return user

    def _delete(self, connection: Connection) -> tuple[User, bool]:
        had_rights = bool(user_roles.for_user(connection, self.id))
        return users.delete(connection, self.id), had_rights


@frozen
class GrantRole:
    """A right: owner or admin of everything, or admin of one agent group."""

    user_id: str
    role: Role
    agent_group_id: str | None = None
    granted_by: str | None = None
    create_user: bool = False
    """Make the row of a user who has never written."""

    async def handle(self, actor: Registry) -> None:
        """Give it; nothing happens if the user has it."""
        await actor.commit(self._grant, actor.clock.now())
        _tell(actor, self.agent_group_id)

    def _grant(self, connection: Connection, now: datetime) -> None:
        if self.create_user:
            _ensure(connection, self.user_id, now)
        user_roles.grant(connection, self.user_id, self.role, self.agent_group_id, self.granted_by, now)


@frozen
class RevokeRole:
    """A right no more."""

    user_id: str
    role: Role
    agent_group_id: str | None = None

    async def handle(self, actor: Registry) -> bool:
        """Take it away; False if the user did not have it."""
        had = await actor.commit(user_roles.revoke, self.user_id, self.role, self.agent_group_id)
        _tell(actor, self.agent_group_id)
        return had


def _ensure(connection: Connection, user_id: str, now: datetime) -> None:
    """Make a user's row where it is missing; a name that is there stays."""
    users.upsert(connection, User(user_id, kind_of(user_id), None, now))


def _tell(actor: Registry, agent_group_id: str | None) -> None:
    if agent_group_id is None:
        actor.changes.tell_all()
    else:
        actor.changes.tell(agent_group_id)


@frozen
class AddMember:
    """Let a user talk to an agent."""

    user_id: str
    agent_group_id: str
    added_by: str | None = None
    create_user: bool = False
    """Make the row of a user who has never written."""

    async def handle(self, actor: Registry) -> None:
        """Let them in; nothing happens if they are. No session shows it."""
        await actor.commit(self._add, actor.clock.now())

    def _add(self, connection: Connection, now: datetime) -> None:
        if self.create_user:
            _ensure(connection, self.user_id, now)
        members.add(connection, self.user_id, self.agent_group_id, self.added_by, now)


@frozen
class RemoveMember:
    """No longer let a user talk to an agent, unless as its admin."""

    user_id: str
    agent_group_id: str

    async def handle(self, actor: Registry) -> bool:
        """Take them out; False if they were no member."""
        return await actor.commit(members.remove, self.user_id, self.agent_group_id)
