"""The caller of an operation, and the one check of its rights."""

from collections.abc import Sequence
from enum import Enum

from attrs import frozen

from nanoclaw.operations.errors import Forbidden
from nanoclaw.registry.users import kind_of
from nanoclaw.store import Connection
from nanoclaw.store.central import agent_groups, members, user_roles

LOCAL_USER = "cli:local"


class Right(Enum):
    """The minimum right of an operation. An operation without an agent asks for it over everything."""

    MEMBER = "a member of the agent"
    ADMIN = "an admin of the agent"
    OWNER = "an owner"


@frozen
class Caller:
    """The caller of an operation. `user_id` None is the host's own program."""

    user_id: str | None = None
    unlimited: bool = False
    """True for a caller who owns the files themselves: rows cannot limit them."""

    @classmethod
    def host(cls) -> "Caller":
        """Return the program that embeds the host."""
        return cls(None, unlimited=True)

    @classmethod
    def local(cls) -> "Caller":
        """Return the host's own user, at the control socket or on the files: the owner."""
        return cls(LOCAL_USER, unlimited=True)

    @classmethod
    def user(cls, user_id: str) -> "Caller":
        """Return a user of a chat network, limited to the rights granted to them.

        Raises:
            NotAllowed: the id has no prefix.
        """
        kind_of(user_id)
        return cls(user_id)


def check(
    connection: Connection, caller: Caller, right: Right, agent_ids: Sequence[str], operation: str
) -> None:
    """Check that the caller has `right` over every agent that the operation concerns.

    Raises:
        Forbidden: they do not.
    """
    user = caller.user_id
    if caller.unlimited or (user is not None and _has(connection, user, right, agent_ids)):
        return
    raise Forbidden(f"{user} may not do that: {operation} needs {_words(connection, right, agent_ids)}")


def has_global_right(connection: Connection, caller: Caller) -> bool:
    """Return whether the caller may at least see everything."""
    user = caller.user_id
    return caller.unlimited or (
        user is not None
        and (user_roles.is_owner(connection, user) or user_roles.is_global_admin(connection, user))
    )


def _has(connection: Connection, user: str, right: Right, agent_ids: Sequence[str]) -> bool:
    if user_roles.is_owner(connection, user):
        return True
    if right is Right.OWNER:
        return False
    if not agent_ids:
        return user_roles.is_global_admin(connection, user)
    test = user_roles.may_administer if right is Right.ADMIN else members.is_member
    return all(test(connection, user, agent) for agent in agent_ids)


def _words(connection: Connection, right: Right, agent_ids: Sequence[str]) -> str:
    if right is Right.OWNER:
        return str(right.value)
    groups = [agent_groups.get(connection, id_) for id_ in agent_ids]
    folders = [group.folder for group in groups if group is not None]
    return f"{right.value} {' and '.join(folders)}" if folders else "a global admin, or the agent's name"
