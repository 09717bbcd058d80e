"""Decides whether a sender may write to an agent: rights, refusals, the chat's policy (contract 3)."""

from datetime import datetime

from attrs import frozen

from nanoclaw.records import MessagingGroup, Refusal
from nanoclaw.store import Connection
from nanoclaw.store.central import members, refusals

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
    if user_id is None:
        return unidentified(chat)
    if members.is_member(connection, user_id, agent_group_id):
        return None
    return by_policy(chat, refusals.of_sender(connection, chat.id, user_id, agent_group_id))


def unidentified(chat: MessagingGroup) -> NotAdmitted | None:
    """Return why a sender who cannot be identified is not admitted, or None if they are."""
    return None if chat.unknown_sender_policy == "public" else NotAdmitted(UNIDENTIFIED)


def by_policy(chat: MessagingGroup, refused: Refusal | None) -> NotAdmitted | None:
    """Return why a sender without a right is not admitted, or None if they are. `refused` refused them."""
    policy = chat.unknown_sender_policy
    if policy == "public" and (refused is None or refused.status != "blocked"):
        return None
    return NotAdmitted(f"unknown_sender_{policy}", policy == "request_approval", refused)
