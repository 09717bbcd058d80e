"""The kind `admit_sender`: an admin lets a sender talk to the agents of a chat, rejects or blocks them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from attrs import evolve, frozen

from nanoclaw.approvals.eligible import HOST_USER
from nanoclaw.approvals.kind import APPROVE, REJECT, Asked, Effects, Wanted
from nanoclaw.approvals.strangers import person, place, plain, quote
from nanoclaw.records import (
    AgentGroup,
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
        _require_stranger(connection, approval, user)
        status: RefusalStatus = "blocked" if approval.choice == BLOCK.value else "rejected"
        _refuse(
            connection, approval, Refusal(chat, user, status, _until(status, at), approval.decided_by, at)
        )
        return {status: user}

    async def finish(self, approval: PendingApproval, effects: Effects) -> Mapping[str, object] | None:
        """Deliver what was held of the sender."""
        payload = approval.payload
        await effects.deliver_held(str(payload["chat"]), str(payload["user"]))
        return None


def _require_stranger(connection: Connection, approval: PendingApproval, user: str) -> None:
    """Check that a refusal would have an effect: a right beats it.

    Raises:
        ActionRefused: the agents hear the user by now.
    """
    groups = [agent_groups.get(connection, str(id_)) for id_ in _list(approval.payload["agents"])]
    hear = [group.folder for group in groups if group and members.is_member(connection, user, group.id)]
    if hear and len(hear) == len(groups):
        raise ActionRefused(
            f"{plain(user, 80)} was given a right to talk to {', '.join(hear)} in the meantime; "
            f"take that away, such as by `nanoclaw members remove {plain(user, 80)} {hear[0]}`"
        )


def _until(status: RefusalStatus, at: datetime) -> datetime | None:
    return None if status == "blocked" else at + REJECTED_FOR


def _refuse(connection: Connection, approval: PendingApproval, refusal: Refusal) -> None:
    """Store a refusal for the agents that its author administers, and drop what is held for these alone."""
    chat, user, at = refusal.messaging_group_id, refusal.user_id, refusal.decided_at
    refusal = evolve(refusal, approval_id=approval.approval_id)
    held = held_messages.of_sender(connection, chat, user)
    if _administers_all(connection, refusal.decided_by):
        refusals.put(connection, refusal)
        drop_held(connection, held, refusal.status, at)
        return
    own = {each.id for each in _own_agents(connection, approval)}
    for id_ in sorted(own):
        refusals.put(connection, evolve(refusal, agent_group_id=id_))
    drop_held(
        connection, [each for each in held if each.agents and own.issuperset(each.agents)], refusal.status, at
    )


def _administers_all(connection: Connection, by: str | None) -> bool:
    if by is None or by == HOST_USER:
        return True
    return user_roles.is_owner(connection, by) or user_roles.is_global_admin(connection, by)


def _own_agents(connection: Connection, approval: PendingApproval) -> Iterable[AgentGroup]:
    """Yield the agents of the request that whoever decided administers."""
    by = approval.decided_by
    for id_ in _list(approval.payload["agents"]):
        group = agent_groups.get(connection, str(id_))
        if group is not None and (
            _administers_all(connection, by) or user_roles.may_administer(connection, by or "", group.id)
        ):
            yield group


def _admit(connection: Connection, approval: PendingApproval, user: str, at: datetime) -> Iterable[str]:
    chat, by = str(approval.payload["chat"]), approval.decided_by
    if _administers_all(connection, by):
        refusals.lift(connection, chat, user)
    for group in _own_agents(connection, approval):
        refusals.lift(connection, chat, user, group.id)
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
