"""A provider that will never answer: each chat is told once, and nothing is retried."""

import json

import pytest
import trio

from agent_runner.errors import ProviderFatal
from agent_runner.providers import Toolbox
from agent_runner.records import Result, Turn
from tests.runner.test_runner_crash import When, crash
from tests.runner.world import Script, World

TEXT = "I cannot answer: the key is refused. Please tell my owner."


async def refused(_turn: Turn, _tools: Toolbox) -> Result:
    await trio.lowlevel.checkpoint()
    raise ProviderFatal("401 from the model", for_user=TEXT)


async def test_each_chat_is_told_once_and_the_turn_is_completed(world: World) -> None:
    ids = [
        world.put(2, "one"),
        world.put(4, "two"),
        world.put(6, "three", platform_id="chat-2"),
        world.put(8, kind="task", content='{"prompt": "x"}', channel_type=None, platform_id=None),
    ]
    provider = Script(refused)
    async with world.running(provider):
        await world.until_acked(*ids)
        await trio.sleep(1000)
    assert len(provider.turns) == 1
    told = world.out("SELECT platform_id, in_reply_to, content FROM messages_out ORDER BY seq")
    content = json.dumps({"text": TEXT}, separators=(",", ":"))
    assert told == [("chat-1", "in-8", content), ("chat-2", "in-6", content)]
    ((event,),) = world.out("SELECT data FROM events WHERE kind = 'error'")
    assert json.loads(str(event))["reason"] == "401 from the model"


async def test_follow_ups_are_completed_with_the_turn(world: World) -> None:
    async def act(turn: Turn, tools: Toolbox) -> Result:
        await tools.follow_ups()
        return await refused(turn, tools)

    first = world.put(2, "one")
    async with world.running(Script(act)):
        await trio.sleep(1)
        await world.until_acked(first, world.put(4, "two"))
        await trio.sleep(1000)
    assert world.texts() == [TEXT]


async def test_without_any_chat_the_turn_is_completed_too(world: World) -> None:
    world.host("DELETE FROM session_routing")
    task = world.put(2, kind="task", content='{"prompt":"x"}', channel_type=None, platform_id=None)
    await world.serve(Script(refused), task)
    assert world.texts() == []


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("commit", [1, 2])
async def test_after_a_death_at_any_commit_the_chat_is_told_once(
    world: World, commit: int, when: When
) -> None:
    message = world.put(2)
    await crash(world, commit, when, Script(refused))
    world.settle()
    if world.acks().get(message) != "completed":
        await world.serve(Script(refused), message)
    assert world.texts() == [TEXT]
