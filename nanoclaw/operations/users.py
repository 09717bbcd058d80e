"""The noun `users`."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Unpack

from attrs import frozen

from nanoclaw.operations.declaration import Named, Text, operation
from nanoclaw.operations.errors import BadArguments
from nanoclaw.operations.noun import Noun
from nanoclaw.operations.rights import Right
from nanoclaw.operations.types import NewUserRef, OptionalText, UserRef
from nanoclaw.records import User
from nanoclaw.registry import CreateUser, DeleteUser, LinkUsers, UnlinkUser, UpdateUser
from nanoclaw.store import Connection
from nanoclaw.store.central import agent_groups, members, people, user_roles, users
from nanoclaw.store.central.users import UserChanges

COLUMNS = ("id", "display_name", "rights", "linked", "created_at")


@frozen
class UserView:
    """A user, and what the person may do."""

    id: str
    kind: str
    display_name: str | None
    created_at: datetime
    rights: Sequence[str]
    """The rights and memberships of the person, such as `owner`, `admin of main` or `member of main`."""
    linked: Sequence[str]
    """The other identities of the person."""
    person: str
    """The identity that names the person."""


@frozen
class Users(Noun):
    """People, by their ids on the chat networks."""

    name = "users"
    summary = "people, by their ids on the chat networks"
    table = "users"

    @operation(right=Right.ADMIN, reads=True, columns=COLUMNS)
    async def list(self) -> Sequence[UserView]:
        """List the users with their rights, the oldest first."""
        return await self._central.run(_views)

    @operation(right=Right.ADMIN, reads=True)
    async def show(self, user: UserRef) -> UserView:
        """Show a user with the rights of the person, and the person's other identities.

        Args:
            user: its id, such as `tg:123`.
        """
        return await self._central.run(_view_of, user)

    @operation(right=Right.ADMIN, conflict="there is a user {user} already")
    async def create(
        self,
        user: Annotated[str, Text(empty=True)],
        *,
        display_name: Annotated[str | None, Named("name")] = None,
    ) -> User:
        """Create a user before their first message.

        Args:
            user: its id on the network, such as `tg:123` or `email:a@x.com`.
            display_name: what people call it; the network's own name replaces it with the next message.
        """
        return await self._registry.ask(CreateUser(user, display_name))

    @operation(right=Right.ADMIN)
    async def set(
        self, user: UserRef, display_name: Annotated[OptionalText, Named("name", option=True)]
    ) -> User:
        """Change a user's name; the network's own name replaces it with the next message.

        Args:
            user: its id, such as `tg:123`.
            display_name: what people call it; an empty text: nothing.
        """
        return await self._registry.ask(UpdateUser(user, {"display_name": display_name or None}))

    @operation(right=Right.OWNER, asks="Delete user {user} with their rights and memberships?")
    async def delete(self, user: UserRef) -> User:
        """Delete a user with their rights and memberships.

        It is refused while others have rights or memberships from them.

        Args:
            user: its id, such as `tg:123`.
        """
        return await self._registry.ask(DeleteUser(user))

    @operation(right=Right.OWNER, asks="Make {user} and {other} one person?")
    async def link(self, user: UserRef, other: NewUserRef) -> UserView:
        """Make two identities one person: the rights and memberships of each then count for both.

        Agents are told that both are one person, by the name of the first.

        Args:
            user: its id, such as `tg:123`.
            other: the id of the same person elsewhere, such as `discord:abc`; a user who has never written is
                created.
        """
        if user == other:
            raise BadArguments(f"{user} cannot be linked to itself: give two different ids")
        await self._registry.ask(LinkUsers(user, other, await self._known_caller(), create_other=True))
        linked = await self._central.run(_view_of, user)
        self.note(_says(linked))
        return linked

    @operation(right=Right.OWNER)
    async def unlink(self, user: UserRef) -> UserView:
        """Make an identity a person of its own again. It keeps the rights that were given to it itself.

        Args:
            user: its id, such as `tg:123`.
        """
        await self._registry.ask(UnlinkUser(user))
        alone = await self._central.run(_view_of, user)
        self.note(_says(alone))
        return alone

    async def warning(self, verb: str, arguments: Mapping[str, Any]) -> str:
        """Return the rights that both identities have once they are linked."""
        if verb != "link":
            return ""
        views = [await self._central.run(_view_of, arguments[name]) for name in ("user", "other")]
        rights = list(dict.fromkeys(right for view in views for right in view.rights))
        return f"Both then have these rights: {', '.join(rights) or 'none'}."

    # -- for embedders

    async def get(self, id_: str) -> User | None:
        """Return the user with that id."""
        return await self._central.run(users.get, id_)

    async def update(self, id_: str, **changes: Unpack[UserChanges]) -> User:
        """Change a user; the next message brings the network's name again. Raises `NotFound`."""
        return await self._registry.ask(UpdateUser(id_, changes))


def _views(connection: Connection) -> Sequence[UserView]:
    return [_view(connection, user) for user in users.every(connection)]


def _view_of(connection: Connection, user_id: str) -> UserView:
    return _view(connection, users.require(connection, user_id))


def _view(connection: Connection, user: User) -> UserView:
    ids = people.identities(connection, user.id)
    rights = list(dict.fromkeys(right for id_ in ids for right in _rights(connection, id_)))
    person = people.person_id(connection, user.id)
    return UserView(user.id, user.kind, user.display_name, user.created_at, rights, ids[1:], person)


def _rights(connection: Connection, user_id: str) -> Iterator[str]:
    for role in user_roles.for_user(connection, user_id):
        yield (
            f"{role.role} of {_folder(connection, role.agent_group_id)}" if role.agent_group_id else role.role
        )
    for member in members.for_user(connection, user_id):
        yield f"member of {_folder(connection, member.agent_group_id)}"


def _folder(connection: Connection, agent_group_id: str) -> str:
    group = agent_groups.get(connection, agent_group_id)
    return group.folder if group is not None else agent_group_id


def _says(view: UserView) -> str:
    who = " and ".join((view.id, *view.linked))
    return f"the rights of {who} are now: {', '.join(view.rights) or 'none'}"
