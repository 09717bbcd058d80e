"""Messages to the registry about users, their roles and their memberships."""

from datetime import datetime

from attrs import frozen

from nanoclaw.records import Member, Role, User
from nanoclaw.records.checking import BadValue
from nanoclaw.records.people import user_kind
from nanoclaw.registry.actor import CheckedMessage, Registry
from nanoclaw.store import Connection, NotAllowed
from nanoclaw.store.central import (
    members,
    messaging_groups,
    people,
    refusals,
    unregistered_senders,
    user_roles,
    users,
    wirings,
)
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
        had_rights = bool(user_roles.for_user(connection, self.id) or people.get(connection, self.id))
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
    actor.changes.tell_admitted()
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
        actor.changes.tell_admitted()

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


@frozen
class LinkUsers(CheckedMessage):
    """Make two identities one person. Rights and memberships of either then count for both."""

    user_id: str
    """The identity that names the person."""
    other_id: str
    linked_by: str | None = None
    create_other: bool = False
    """Create the row of the other identity if it has never written."""

    async def handle(self, actor: Registry) -> None:
        """Link them, and all that either is linked to."""
        await actor.commit(self._link, actor.clock.now())
        actor.changes.tell_all()
        actor.changes.tell_admitted()

    def _link(self, connection: Connection, now: datetime) -> None:
        if self.create_other:
            _ensure(connection, self.other_id, now)
        people.link(connection, self.user_id, self.other_id, self.linked_by, now)


@frozen
class UnlinkUser(CheckedMessage):
    """Make an identity a person of its own again. Its own rights stay."""

    user_id: str

    async def handle(self, actor: Registry) -> None:
        """Delete the link. Raises `NotFound`."""
        await actor.commit(people.unlink, self.user_id)
        actor.changes.tell_all()


@frozen
class AdmitSender(CheckedMessage):
    """Let a sender whose messages were dropped in a chat talk to the agents of that chat."""

    messaging_group_id: str
    user_id: str
    added_by: str | None = None

    async def handle(self, actor: Registry) -> list[Member]:
        """Make the sender a member of each, lift a refusal, and forget what was dropped of them.

        Raises:
            NotAllowed: the chat has no agent.
        """
        admitted = await actor.commit(self._admit, actor.clock.now())
        actor.changes.tell_admitted()
        return admitted

    def _admit(self, connection: Connection, now: datetime) -> list[Member]:
        chat = messaging_groups.require(connection, self.messaging_group_id)
        wired = wirings.for_chat(connection, chat.id)
        if not wired:
            where = f"{chat.channel_type}:{chat.platform_id}"
            raise NotAllowed(f"no agent is wired to {where}: wire one first with nanoclaw wirings create")
        _ensure(connection, self.user_id, now)
        for wiring in wired:
            members.add(connection, self.user_id, wiring.agent_group_id, self.added_by, now)
        refusals.lift(connection, chat.id, self.user_id)
        unregistered_senders.forget(connection, chat.channel_type, chat.platform_id, self.user_id)
        groups = {wiring.agent_group_id for wiring in wired}
        return [each for each in members.for_user(connection, self.user_id) if each.agent_group_id in groups]


@frozen
class LiftRefusal(CheckedMessage):
    """Forget that a sender of a chat, or the chat itself (`user_id` None), was rejected or blocked."""

    messaging_group_id: str
    user_id: str | None

    async def handle(self, actor: Registry) -> bool:
        """Delete it. Return False if there was none."""
        lifted = await actor.commit(refusals.lift, self.messaging_group_id, self.user_id)
        actor.changes.tell_admitted()
        return lifted
