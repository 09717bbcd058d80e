"""Who may write to an agent: the chat's policy for senders that are not known (contract 3)."""

from nanoclaw.records import MessagingGroup
from nanoclaw.store import Connection, members, user_roles


def refusal(connection: Connection, chat: MessagingGroup, agent_group_id: str, user_id: str) -> str | None:
    """Why a sender is not let in, as the word that is recorded; None: let in.

    Owners, admins of the group and members always are; everyone is where the policy is `public`.
    """
    if chat.unknown_sender_policy == "public":
        return None
    if user_roles.may_administer(connection, user_id, agent_group_id):
        return None
    if members.is_member(connection, user_id, agent_group_id):
        return None
    return f"unknown_sender_{chat.unknown_sender_policy}"
