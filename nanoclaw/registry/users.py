"""Messages to the registry about users, their roles and their memberships."""

from datetime import datetime

from attrs import frozen

from nanoclaw.records import Role, User
from nanoclaw.records.checking import BadValue
from nanoclaw.records.people import user_kind
from nanoclaw.registry.actor import CheckedMessage, Registry
from nanoclaw.store import Connection, NotAllowed
from nanoclaw.store.central import members, user_roles, users
from nanoclaw.store.central.users import UserChanges


def kind_of(user_id: str) -> str:
    """Return the kind of a user: the prefix of the id.

    Raises:
        NotAllowed: the id has no prefix (`nanoclaw.records.people.WithPrefix`).
    """
    try:
        return user_kind(user_id)
    except BadValue as error:
        raise NotAllowed(
            f"{user_id!r:.100} is not a user id; write one such as tg:123 or email:a@x.com"
        ) from error


@frozen
class EnsureUser:
    """Create a user at the first message, or update the display name."""

    user_id: str
    display_name: str | None

    async def handle(self, actor: Registry) -> None:
        """Insert the row or update its name."""
        user = User(self.user_id, kind_of(self.user_id), self.display_name, actor.clock.now())
        await actor.commit(users.upsert, user)


@frozen
class CreateUser(CheckedMessage):
    """Create a user before their first message."""

    id: str
    display_name: str | None = None

    async def handle(self, actor: Registry) -> User:
        """Insert the row and return it. An id that exists raises `Conflict`."""
        user = User(self.id, kind_of(self.id), self.display_name, actor.clock.now())
        await actor.commit(users.create, user)
        return user


@frozen
class UpdateUser(CheckedMessage):
    """Change the display name of a user."""

    id: str
    changes: UserChanges

    async def handle(self, actor: Registry) -> User:
        """Change the row and return it."""
        return await actor.commit(users.update, self.id, self.changes)


@frozen
class DeleteUser(CheckedMessage):
    """Delete a user with their roles and memberships; see `store.central.users.delete`."""

    id: str

    async def handle(self, actor: Registry) -> User:
        """Delete the row, unless the user granted roles or memberships to others."""
        user, had_rights = await actor.commit(self._delete)
        if had_rights:
            actor.changes.tell_all()
        return user

    def _delete(self, connection: Connection) -> tuple[User, bool]:
        had_rights = bool(user_roles.for_user(connection, self.id))
        _keep_an_owner(connection, self.id)
        return users.delete(connection, self.id), had_rights


@frozen
class GrantRole(CheckedMessage):
    """Grant a role: owner, global admin, or admin of one agent group."""

    user_id: str
    role: Role
    agent_group_id: str | None = None
    granted_by: str | None = None
    create_user: bool = False
    """Create the row of a user who has never written."""

    async def handle(self, actor: Registry) -> None:
        """Grant it, unless the user has it already."""
        await actor.commit(self._grant, actor.clock.now())
        _tell(actor, self.agent_group_id)

    def _grant(self, connection: Connection, now: datetime) -> None:
        if self.create_user:
            _ensure(connection, self.user_id, now)
        user_roles.grant(connection, self.user_id, self.role, self.agent_group_id, self.granted_by, now)


@frozen
class RevokeRole(CheckedMessage):
    """Revoke a role."""

    user_id: str
    role: Role
    agent_group_id: str | None = None

    async def handle(self, actor: Registry) -> bool:
        """Revoke it. Return False if the user did not have it."""
        had = await actor.commit(self._revoke)
        _tell(actor, self.agent_group_id)
        return had

    def _revoke(self, connection: Connection) -> bool:
        if self.role == "owner":
            _keep_an_owner(connection, self.user_id)
        return user_roles.revoke(connection, self.user_id, self.role, self.agent_group_id)


def _keep_an_owner(connection: Connection, user_id: str) -> None:
    """Check that another owner remains without this user, because only an owner can make one.

    Raises:
        NotAllowed: the user is the only owner.
    """
    owners = {each.user_id for each in user_roles.every(connection) if each.role == "owner"}
    if owners == {user_id}:
        raise NotAllowed(f"{user_id} is the only owner; make another one first with the role owner")


def _ensure(connection: Connection, user_id: str, now: datetime) -> None:
    """Create a user's row if it is missing. An existing name stays."""
    users.upsert(connection, User(user_id, kind_of(user_id), None, now))


def _tell(actor: Registry, agent_group_id: str | None) -> None:
    if agent_group_id is None:
        actor.changes.tell_all()
    else:
        actor.changes.tell(agent_group_id)


@frozen
class AddMember(CheckedMessage):
    """Make a user a member of an agent group, so that they may talk to the agent."""

    user_id: str
    agent_group_id: str
    added_by: str | None = None
    create_user: bool = False
    """Create the row of a user who has never written."""

    async def handle(self, actor: Registry) -> None:
        """Add the member, unless they are one. Projections do not show it, so no watcher is notified."""
        await actor.commit(self._add, actor.clock.now())

    def _add(self, connection: Connection, now: datetime) -> None:
        if self.create_user:
            _ensure(connection, self.user_id, now)
        members.add(connection, self.user_id, self.agent_group_id, self.added_by, now)


@frozen
class RemoveMember(CheckedMessage):
    """End a membership. An admin may still talk to the agent."""

    user_id: str
    agent_group_id: str

    async def handle(self, actor: Registry) -> bool:
        """Remove the member. Return False if they were not a member."""
        return await actor.commit(members.remove, self.user_id, self.agent_group_id)
