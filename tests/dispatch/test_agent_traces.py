"""Cause and effect of messages between agents, as `messages list` and `messages show` name them."""

from agent_runner.providers import Toolbox
from agent_runner.records import Turn
from nanoclaw.testing import World, says, script
from tests.dispatch.pairs import Pair, a_pair


async def forwards(turn: Turn, tools: Toolbox) -> str | None:
    """Forward what Ann says to the helper, and ignore the answer."""
    for message in turn.messages:
        if not str(message.content.get("senderId")).startswith("agent:"):
            await tools.call("send_message", {"text": "please", "to": "helper"})
    return None


async def _asked(world: World) -> Pair:
    pair = await a_pair(world, forwards, script(says("pong")))
    await pair.ann.says("ping")
    await world.sleep(5)
    return pair


async def test_each_side_names_the_session_and_the_id_of_the_other(world: World) -> None:
    pair = await _asked(world)
    messages = world.host.admin.messages
    [first] = [each for each in await messages.list(agent=pair.main.id) if each.text == "ping"]
    [there] = await messages.list(agent=pair.helper.id)
    sent = (await messages.show(f"{first.session_id}/{first.id}")).to_agents[0]
    assert (sent.received_in, sent.received_as) == (there.session_id, there.id)
    assert (there.sent_by, there.sent_as) == (first.session_id, sent.id)
    assert (sent.text, sent.status, sent.agent_group_id) == ("please", "delivered", pair.helper.id)
    assert first.caused == (f"{there.session_id}/{there.id}",)


async def test_the_chain_is_named_on_both_sides(world: World) -> None:
    pair = await _asked(world)
    messages = world.host.admin.messages
    back, first = await messages.list(agent=pair.main.id)
    [there] = await messages.list(agent=pair.helper.id)
    assert (first.causation_id, there.causation_id, back.causation_id) == (None, first.id, first.id)
    assert (first.hops, there.hops, back.hops) == (None, 1, 2)
    [answer] = (await messages.show(f"{there.session_id}/{there.id}")).replies
    assert (back.sent_by, back.sent_as) == (there.session_id, answer.id)
    assert answer.platform_message_id == f"{back.session_id}/{back.id}"


async def test_the_configuration_bounds_hops_and_rates(world: World) -> None:
    pair = await a_pair(world)
    await world.restart(**{"agents.max_hops": 3})
    await pair.ann.says('!send_message {"text": "hi", "to": "helper"}')
    await world.sleep(minutes=5)
    assert len(pair.received(pair.helper)) + len(pair.received(pair.main)) == 3
    [cut] = [*pair.told(pair.helper), *pair.told(pair.main)][:1]
    assert "3 hops" in str(cut.content["reason"])
