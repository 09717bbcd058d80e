"""The kind `admit_chat`: an owner chooses the agent that answers in an unknown chat, or rejects the chat."""

from collections.abc import Mapping
from datetime import datetime
from hashlib import blake2b

from attrs import frozen

from nanoclaw.approvals.kind import REJECT, Asked, Effects, Wanted
from nanoclaw.approvals.kinds.sender import drop_held
from nanoclaw.approvals.strangers import person, place, plain, quote
from nanoclaw.records import AgentGroup, MessagingGroup, Option, PendingApproval, Refusal, Wiring
from nanoclaw.registry import ActionRefused
from nanoclaw.store import Connection
from nanoclaw.store.central import (
    agent_groups,
    held_messages,
    members,
    messaging_groups,
    refusals,
    users,
    wirings,
)
from nanoclaw.store.engine.slugs import distinct, slug

ADMIT_CHAT = "admit_chat"
MOST_AGENTS = 20
"""Limit of agents that a card offers, the oldest first."""
NEW_AGENT = Option("New agent", "New agent", "new")
AGENT = "agent:"
"""The beginning of the values of the buttons of agents."""
CHAT_REJECTED = "this chat was rejected"
"""The reason for dropping messages of a rejected chat."""


@frozen
class AdmitChat:
    """Wires an unknown chat to an agent."""

    action: str = ADMIT_CHAT
    for_agents: bool = False

    def check(self, connection: Connection, asked: Asked) -> Wanted:
        """Check that the chat and the user exist, and offer the agents."""
        values = asked.values
        chat = messaging_groups.require(connection, str(values["chat"]))
        user = users.require(connection, str(values["user"]))
        who, where = person(user.id, user.display_name), place(chat)
        then = (
            "Each member of the group then needs your approval before the agent hears them."
            if chat.is_group
            else f"{who} then becomes a member of the agent."
        )
        text = (
            f"{who} addressed the assistant in {where}, and no agent is wired to it.\n"
            f"Choose the agent that answers there, or a new one. {then}\n"
            "Reject: nothing is said there, and nobody is asked about this chat again.\n"
            f"They wrote: {quote(values['text'])}"
        )
        payload = {"chat": chat.id, "user": user.id, "is_group": chat.is_group}
        title = f"{where[0].upper()}{where[1:]} wants an agent"[:200]
        return Wanted(payload, chat.id, title, text, _options(connection))

    def apply(self, connection: Connection, approval: PendingApproval) -> Mapping[str, object]:
        """Wire the chat, or drop what is held of it. An expiry changes nothing."""
        at, chat = approval.decided_at, messaging_groups.get(connection, str(approval.payload["chat"]))
        if approval.status == "expired" or at is None:
            return {}
        if chat is None:
            raise ActionRefused("the chat was deleted in the meantime")
        if approval.status == "approved":
            group = _chosen(connection, approval, chat, at)
            _wire(connection, approval, chat, group, at)
            return {"agent": group.folder, "agent_group_id": group.id}
        by, id_ = approval.decided_by, approval.approval_id
        refusals.put(connection, Refusal(chat.id, None, "rejected", None, by, at, id_))
        waiting = [each for each in held_messages.of_sender(connection, chat.id) if not each.agents]
        drop_held(connection, waiting, CHAT_REJECTED, at)
        return {"rejected": f"{chat.channel_type}:{chat.platform_id}"}

    async def finish(self, approval: PendingApproval, effects: Effects) -> Mapping[str, object] | None:
        """Show the agent its new destination, and deliver what was held of the chat."""
        agent = (approval.outcome or {}).get("agent_group_id")
        if isinstance(agent, str):
            await effects.destinations_changed(agent)
        await effects.deliver_held(str(approval.payload["chat"]), None)
        return None


def _options(connection: Connection) -> tuple[Option, ...]:
    groups = agent_groups.every(connection)[:MOST_AGENTS]
    names = [plain(group.name, 40) for group in groups]
    taken = {NEW_AGENT.label.casefold(), REJECT.label.casefold()}
    labels = [
        name if names.count(name) == 1 and name.casefold() not in taken else f"{name} ({group.folder})"[:100]
        for name, group in zip(names, groups, strict=True)
    ]
    offered = (
        Option(label, label, f"{AGENT}{group.id}") for label, group in zip(labels, groups, strict=True)
    )
    return (*offered, NEW_AGENT, REJECT)


def _chosen(
    connection: Connection, approval: PendingApproval, chat: MessagingGroup, at: datetime
) -> AgentGroup:
    """Return the agent of the button. "Approve" without a button means the only agent, or a new one."""
    choice = approval.choice or ""
    if choice.startswith(AGENT):
        group = agent_groups.get(connection, choice.removeprefix(AGENT))
        if group is None:
            raise ActionRefused("the chosen agent was deleted in the meantime")
        return group
    groups = agent_groups.every(connection)
    if choice != NEW_AGENT.value and len(groups) == 1:
        return groups[0]
    name = plain(chat.name or f"{chat.channel_type} {chat.platform_id}", 60)
    folder = distinct(
        slug(name)[:60] or "agent", {group.folder for group in groups} | {agent_groups.SHARED_FOLDER}
    )
    group = AgentGroup(_id("ag", approval), name, folder, None, at)
    agent_groups.create(connection, group)
    return group


def _wire(
    connection: Connection, approval: PendingApproval, chat: MessagingGroup, group: AgentGroup, at: datetime
) -> None:
    if wirings.by_pair(connection, chat.id, group.id) is None:
        wiring = Wiring(_id("wire", approval), chat.id, group.id, {}, "all", "shared", 0, at)
        wirings.create(connection, wiring)
    messaging_groups.update(connection, chat.id, {"unknown_sender_policy": "request_approval"})
    user = str(approval.payload["user"])
    if not approval.payload["is_group"] and not chat.is_group and users.get(connection, user) is not None:
        members.add(connection, user, group.id, approval.decided_by, at)


def _id(prefix: str, approval: PendingApproval) -> str:
    """Return the id of a row that this approval makes: the same one if it is applied again."""
    digest = blake2b(f"{prefix} {approval.approval_id}".encode(), digest_size=8).hexdigest()
    return f"{prefix}-{digest}"


KIND = AdmitChat()
