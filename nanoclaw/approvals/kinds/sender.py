"""The kind `admit_sender`: an admin lets a sender talk to the agents of a chat, rejects or blocks them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from attrs import frozen

from nanoclaw.approvals.kind import APPROVE, REJECT, Asked, Effects, Wanted
from nanoclaw.approvals.strangers import person, place, quote
from nanoclaw.records import (
    HeldMessage,
    Option,
    PendingApproval,
    Refusal,
    RefusalStatus,
    UnregisteredSender,
)
from nanoclaw.registry import ActionRefused
from nanoclaw.store import Connection
from nanoclaw.store.central import (
    agent_groups,
    held_messages,
    members,
    messaging_groups,
    refusals,
    unregistered_senders,
    user_roles,
    users,
)

ADMIT_SENDER = "admit_sender"
BLOCK = Option("Block", "Blocked", "block")
"""Rejects, and never asks about the sender in this chat again."""
REJECTED_FOR = timedelta(hours=24)
"""Time for which nobody is asked again about a rejected sender."""


@frozen
class AdmitSender:
    """Lets a sender of a chat talk to its agents: those that whoever decides may administer."""

    action: str = ADMIT_SENDER
    for_agents: bool = False

    def check(self, connection: Connection, asked: Asked) -> Wanted:
        """Check that chat, sender and agents exist."""
        values = asked.values
        chat = messaging_groups.require(connection, str(values["chat"]))
        user = users.require(connection, str(values["user"]))
        agents = [agent_groups.require(connection, str(id_)) for id_ in _list(values["agents"])]
        folders = ", ".join(group.folder for group in agents)
        who, where = person(user.id, user.display_name), place(chat)
        text = (
            f"{who} wrote in {where}, and nobody has let them in.\n"
            f"Approve: they become a member of {folders}, and get an answer to what they have written.\n"
            "Reject: they are told nothing, and nobody is asked about them for 24 hours.\n"
            "Block: nobody is asked about them in this chat again.\n"
            f"They wrote: {quote(values['text'])}"
        )
        payload = {"chat": chat.id, "user": user.id, "agents": [group.id for group in agents]}
        title = f"{who} wants to talk to {folders}"[:200]
        return Wanted(payload, f"{chat.id} {user.id}", title, text, (APPROVE, REJECT, BLOCK))

    def apply(self, connection: Connection, approval: PendingApproval) -> Mapping[str, object]:
        """Make the sender a member, or drop what is held of them. An expiry changes nothing."""
        chat, user, at = str(approval.payload["chat"]), str(approval.payload["user"]), approval.decided_at
        if approval.status == "expired" or at is None:
            return {}
        if messaging_groups.get(connection, chat) is None or users.get(connection, user) is None:
            raise ActionRefused(f"{user} or the chat was deleted in the meantime")
        if approval.status == "approved":
            return {"admitted": list(_admit(connection, approval, user, at))}
        status: RefusalStatus = "blocked" if approval.choice == BLOCK.value else "rejected"
        until = None if status == "blocked" else at + REJECTED_FOR
        by, id_ = approval.decided_by, approval.approval_id
        refusals.put(connection, Refusal(chat, user, status, until, by, at, id_))
        drop_held(connection, held_messages.of_sender(connection, chat, user), status, at)
        return {status: user}

    async def finish(self, approval: PendingApproval, effects: Effects) -> Mapping[str, object] | None:
        """Deliver what was held of the sender."""
        payload = approval.payload
        await effects.deliver_held(str(payload["chat"]), str(payload["user"]))
        return None


def _admit(connection: Connection, approval: PendingApproval, user: str, at: datetime) -> Iterable[str]:
    by = approval.decided_by
    refusals.lift(connection, str(approval.payload["chat"]), user)
    for id_ in _list(approval.payload["agents"]):
        group = agent_groups.get(connection, str(id_))
        if group is not None and (by is None or user_roles.may_administer(connection, by, group.id)):
            members.add(connection, user, group.id, by, at)
            yield group.folder


def drop_held(connection: Connection, messages: Sequence[HeldMessage], reason: str, now: datetime) -> None:
    """Delete held messages, and count those that were there as dropped."""
    removed = held_messages.remove(connection, [each.id for each in messages])
    for each in messages:
        chat = messaging_groups.get(connection, each.messaging_group_id)
        if each.id in removed and chat is not None:
            where, agent = (chat.channel_type, chat.platform_id), each.agents[0] if each.agents else None
            times = (min(each.held_at, now), now)
            row = UnregisteredSender(*where, each.user_id, None, reason, chat.id, agent, 1, *times)
            unregistered_senders.add(connection, row)


def _list(value: object) -> Sequence[object]:
    return value if isinstance(value, list | tuple) else ()


KIND = AdmitSender()
