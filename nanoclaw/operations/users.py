"""The noun `users`."""

from collections.abc import Sequence
from typing import Annotated, Unpack

from attrs import frozen

from nanoclaw.operations.declaration import Named, Text, operation
from nanoclaw.operations.noun import Noun
from nanoclaw.operations.rights import Right
from nanoclaw.operations.types import OptionalText, UserRef
from nanoclaw.records import User
from nanoclaw.registry import CreateUser, DeleteUser, UpdateUser
from nanoclaw.store.central import users
from nanoclaw.store.central.users import UserChanges


@frozen
class Users(Noun):
    """People, by their ids on the chat networks."""

    name = "users"
    summary = "people, by their ids on the chat networks"
    table = "users"

    @operation(right=Right.ADMIN, reads=True, columns=("id", "display_name", "created_at"))
    async def list(self) -> Sequence[User]:
        """List the users, the oldest first."""
        return await self._central.run(users.every)

    @operation(right=Right.ADMIN, reads=True)
    async def show(self, user: UserRef) -> User:
        """Show a user.

        Args:
            user: its id, such as `tg:123`.
        """
        return await self._central.run(users.require, user)

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

    # -- for embedders

    async def get(self, id_: str) -> User | None:
        """Return the user with that id."""
        return await self._central.run(users.get, id_)

    async def update(self, id_: str, **changes: Unpack[UserChanges]) -> User:
        """Change a user; the next message brings the network's name again. Raises `NotFound`."""
        return await self._registry.ask(UpdateUser(id_, changes))
