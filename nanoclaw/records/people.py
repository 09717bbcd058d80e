"""The ids of users, and rows of the central database about users, their roles and memberships."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

from attrs import frozen

from nanoclaw.records.checking import BadValue, Length

Role = Literal["owner", "admin"]
RefusalStatus = Literal["rejected", "blocked"]


@frozen
class WithPrefix:
    """A user id has its network's prefix. The rule is the same wherever such an id comes in."""

    wanted: str = "a user id with its network's prefix, such as tg:123 or email:a@x.com"

    def fits(self, value: str) -> bool:
        """Return whether the text has a prefix, a colon and an id."""
        kind, _, name = value.partition(":")
        return bool(kind.strip() and name.strip())


UserId = Annotated[str, WithPrefix(), Length(1, 1000)]
"""The id of a user on a network, with its prefix, such as `tg:123`."""


def user_kind(user_id: str) -> str:
    """Return the kind of a user: the prefix of the id.

    Raises:
        BadValue: the id has no prefix.
    """
    rule = WithPrefix()
    if not isinstance(user_id, str) or not rule.fits(user_id):
        raise BadValue(rule.wanted, user_id, "the user")
    return user_id.partition(":")[0]


@frozen
class User:
    """An identity on a platform, such as `tg:123` or `cli:local`."""

    id: str
    kind: str
    display_name: str | None
    created_at: datetime


@frozen
class UserLink:
    """An identity that belongs to a person with several. `person_id` is the one that names the person."""

    user_id: str
    person_id: str
    linked_by: str | None
    linked_at: datetime


@frozen
class UserRole:
    """A role: owner (always global), or admin (global if `agent_group_id` is None)."""

    user_id: str
    role: Role
    agent_group_id: str | None
    granted_by: str | None
    granted_at: datetime


@frozen
class Member:
    """A user who may talk to an agent without being its admin."""

    user_id: str
    agent_group_id: str
    added_by: str | None
    added_at: datetime


@frozen
class UserDm:
    """The direct chat of a user on a channel, as the platform named it once."""

    user_id: str
    channel_type: str
    messaging_group_id: str
    resolved_at: datetime


@frozen
class UnregisteredSender:
    """A sender who was not admitted, counted by sender and reason."""

    channel_type: str
    platform_id: str
    user_id: str | None
    sender_name: str | None
    reason: str
    messaging_group_id: str | None
    agent_group_id: str | None
    message_count: int
    first_seen: datetime
    last_seen: datetime


@frozen
class HeldMessage:
    """A message that waits until somebody lets its sender, or its chat, in."""

    id: int
    message_id: str
    messaging_group_id: str
    user_id: str
    event: str
    bytes: int
    agents: Sequence[str]
    """The agents that wait for it; empty if the chat has none yet."""
    held_at: datetime


@frozen
class Refusal:
    """A sender of a chat, or a whole chat (`user_id` None), that somebody rejected or blocked."""

    messaging_group_id: str
    user_id: str | None
    status: RefusalStatus
    until: datetime | None
    """When it ends; None if it must be lifted."""
    decided_by: str | None
    decided_at: datetime
    approval_id: str | None = None
    agent_group_id: str | None = None
    """The agent of the chat for which the sender is refused; None: all of them."""

    def holds(self, now: datetime) -> bool:
        """Return whether it is in force."""
        return self.until is None or now < self.until
