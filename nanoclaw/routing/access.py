"""Decides whether a sender may write to an agent: the chat's policy for unknown senders (contract 3)."""

from nanoclaw.records import MessagingGroup
from nanoclaw.store import Connection
from nanoclaw.store.central import members, user_roles


def refusal(connection: Connection, chat: MessagingGroup, agent_group_id: str, user_id: str) -> str | None:
    """Return the reason to record if a sender is not admitted, or None if they are admitted.

    Owners, admins of the agent group and members are always admitted. The policy `public` admits everybody.
    """
    if chat.unknown_sender_policy == "public":
        return None
    if user_roles.may_administer(connection, user_id, agent_group_id):
        return None
    if members.is_member(connection, user_id, agent_group_id):
        return None
    return f"unknown_sender_{chat.unknown_sender_policy}"
