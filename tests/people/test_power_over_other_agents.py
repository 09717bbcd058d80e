"""An admin of one agent decides nothing for another agent of the same chat."""

import pytest

from nanoclaw.testing import World
from nanoclaw.testing.world.chats import Chat, User
from tests.people.deciding import decide, open_requests


async def two_agents(world: World) -> tuple[Chat, User]:
    """Return a group with two agents, main (its admin is Ann) and cook (Ben), and a stranger."""
    ann, ben, eve = world.user("ann"), world.user("ben"), world.user("eve")
    chat = world.group("club", [ann, ben, eve])
    await world.wire(chat, policy="request_approval")
    await world.wire(chat, "cook", policy="request_approval")
    await world.grant(ann, "admin", "main")
    await world.grant(ben, "admin", "cook")
    return chat, eve


async def asked(world: World) -> list[str]:
    agents = {each.id: each.folder for each in await world.host.admin.agents.list()}
    return [agents[each.agent_group_id or ""] for each in await open_requests(world)]


async def members(world: World) -> list[tuple[str, str]]:
    agents = {each.id: each.folder for each in await world.host.admin.agents.list()}
    return [(each.user_id, agents[each.agent_group_id]) for each in await world.host.admin.members.list()]


@pytest.mark.parametrize("choice", ["reject", "block"])
async def test_a_rejection_by_the_admin_of_one_agent_leaves_the_other_its_decision(
    world: World, choice: str
) -> None:
    chat, eve = await two_agents(world)
    await eve.says("hello", in_=chat)
    assert await asked(world) == ["main"]
    await decide(world, choice, "fake:ann")
    await world.sleep(60)
    assert await asked(world) == ["cook"]
    await eve.says("again", in_=chat)
    assert await asked(world) == ["cook"]
    await decide(world, "approve", "fake:ben")
    await world.sleep(60)
    assert await members(world) == [("fake:eve", "cook")]
    heard = [entry.text for entry in chat.transcript if entry.from_agent]
    assert heard == ["echo: hello", "echo: again"]
    await eve.says("third", in_=chat)
    assert await open_requests(world) == []


async def test_an_approval_by_the_admin_of_one_agent_admits_to_that_one_alone(world: World) -> None:
    chat, eve = await two_agents(world)
    await eve.says("hello", in_=chat)
    await decide(world, "approve", "fake:ann")
    await world.sleep(60)
    assert await members(world) == [("fake:eve", "main")]
    assert await asked(world) == ["cook"]
    await decide(world, "block", "fake:ben")
    await world.sleep(60)
    await eve.says("again", in_=chat)
    await world.sleep(60)
    heard = [entry.text for entry in chat.transcript if entry.from_agent]
    assert heard == ["echo: hello", "echo: again"]


async def test_the_end_of_a_block_by_one_admin_is_that_of_the_agent(world: World) -> None:
    chat, eve = await two_agents(world)
    await eve.says("hello", in_=chat)
    await decide(world, "block", "fake:ann")
    await world.sleep(60)
    await decide(world, "reject", "fake:ben")
    refused = await world.host.admin.strangers.refused()
    assert sorted(each.status for each in refused) == ["blocked", "rejected"]
    await world.host.admin.strangers.lift("fake:club", "fake:eve")
    assert await world.host.admin.strangers.refused() == []
