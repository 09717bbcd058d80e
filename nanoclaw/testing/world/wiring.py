"""Wirings and rights in a world, through the operations of its running host."""

from typing import Any

from nanoclaw.operations import Admin
from nanoclaw.records import Role, UnknownSenderPolicy, Wiring
from nanoclaw.testing.world.agents import Agent
from nanoclaw.testing.world.chats import Chat, User
from nanoclaw.testing.world.errors import WorldError


async def wire(
    admin: Admin, chat: Chat, agent: Agent, policy: UnknownSenderPolicy | None, wiring: dict[str, Any]
) -> Wiring:
    """Create what is missing of an agent, a chat and their wiring; change the settings that are named."""
    group = await admin.agent_groups.by_folder(agent.folder)
    if group is None:
        await admin.agent_groups.create(agent.folder, agent.folder, agent_provider=agent.provider)
    elif group.agent_provider != agent.provider:
        await admin.agent_groups.update(group.id, agent_provider=agent.provider)
    wired = await admin.wirings.connect(
        chat.address,
        agent.folder,
        policy=policy or await _policy(admin, chat),
        chat_name=chat.name,
        is_group=chat.is_group,
        **wiring,
    )
    named = {key: value or {} if key == "trigger_rules" else value for key, value in wiring.items()}
    changes: Any = {key: value for key, value in named.items() if getattr(wired, key) != value}
    return await admin.wirings.update(wired.id, **changes) if changes else wired


async def _policy(admin: Admin, chat: Chat) -> UnknownSenderPolicy:
    found = await admin.messaging_groups.by_address(chat.address.channel_type, chat.address.platform_id)
    if found is None or not await admin.wirings.for_chat(found.id):
        return "public"
    return found.unknown_sender_policy


async def grant(admin: Admin, user: User, role: Role, agent: Agent | str | None) -> None:
    """Make a user an owner or admin, of everything or of one agent."""
    await _create(admin, user)
    await admin.roles.grant(user.id, role, await _group_id(admin, agent) if agent else None)


async def revoke(admin: Admin, user: User, role: Role, agent: Agent | str | None) -> None:
    """Take a right from a user."""
    await admin.roles.revoke(user.id, role, await _group_id(admin, agent) if agent else None)


async def link(admin: Admin, user: User, other: User) -> None:
    """Link two identities of one person."""
    for each in (user, other):
        await _create(admin, each)
    await admin.users.link(user.id, other.id)


async def remove(admin: Admin, user: User, agent: Agent | str) -> None:
    """End a membership."""
    await admin.members.remove(user.id, await _group_id(admin, agent))


async def admit(admin: Admin, user: User, agent: Agent | str) -> None:
    """Make a user a member of an agent."""
    await _create(admin, user)
    await admin.members.add(user.id, await _group_id(admin, agent))


async def _create(admin: Admin, user: User) -> None:
    if await admin.users.get(user.id) is None:
        await admin.users.create(user.id, display_name=user.name)


async def _group_id(admin: Admin, agent: Agent | str) -> str:
    folder = agent if isinstance(agent, str) else agent.folder
    group = await admin.agent_groups.by_folder(folder)
    if group is None:
        raise WorldError(f"wire the agent {folder!r} to a chat first")
    return group.id
