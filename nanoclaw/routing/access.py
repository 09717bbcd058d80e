"""Decides whether a sender may write to an agent: rights, refusals, the chat's policy (contract 3)."""

from datetime import datetime

from attrs import frozen

from nanoclaw.records import MessagingGroup, Refusal
from nanoclaw.store import Connection
from nanoclaw.store.central import members, people, refusals, users

UNIDENTIFIED = "unidentified_sender"
"""The reason for dropping a message whose sender the network does not identify."""


@frozen
class NotAdmitted:
    """The reason why a sender may not write to an agent."""

    policy: str
    """The reason by the chat's policy."""
    asks: bool = False
    """True if an admin is asked to let the sender in."""
    refusal: Refusal | None = None
    """The decision that refused the sender, which may have ended."""

    def waits(self, now: datetime) -> bool:
        """Return whether the sender's messages wait for a decision."""
        return self.asks and not self._refused(now)

    def reason(self, now: datetime) -> str:
        """Return the reason to record for a dropped message."""
        if self.refusal is not None and self.refusal.holds(now):
            return self.refusal.status
        return self.policy

    def _refused(self, now: datetime) -> bool:
        return self.refusal is not None and self.refusal.holds(now)


def refusal(
    connection: Connection, chat: MessagingGroup, agent_group_id: str, user_id: str | None
) -> NotAdmitted | None:
    """Return why a sender is not admitted, or None if they are. `user_id` None: they cannot be identified.

    Owners, admins of the agent group and members are always admitted, by any of their identities. A person
    who is blocked in the chat is not. The policy `public` admits everybody else.
    """
    public = chat.unknown_sender_policy == "public"
    if user_id is None:
        return None if public else NotAdmitted(UNIDENTIFIED)
    if members.is_member(connection, user_id, agent_group_id):
        return None
    refused = refusals.of_sender(connection, chat.id, user_id, agent_group_id)
    if public and (refused is None or refused.status != "blocked"):
        return None
    asks = chat.unknown_sender_policy == "request_approval"
    return NotAdmitted(f"unknown_sender_{chat.unknown_sender_policy}", asks, refused)


def person_of(connection: Connection, user_id: str | None) -> str | None:
    """Return the name of the person behind an identity that is one of several, or None."""
    if user_id is None or len(people.identities(connection, user_id)) == 1:
        return None
    named = people.person_id(connection, user_id)
    user = users.get(connection, named)
    return (user and user.display_name) or named
