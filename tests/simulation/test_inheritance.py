"""A claim of a previous runner is given back by the next one."""

import trio

from agent_runner.providers import Toolbox
from agent_runner.records import Turn
from nanoclaw.testing import World
from nanoclaw.testing.invariants import rows
from tests.host.homes import only_session


async def test_the_claim_of_a_task_that_paused_itself_does_not_outlive_its_runner(world: World) -> None:
    async def brain(turn: Turn, tools: Toolbox) -> str:
        message = turn.messages[-1]
        if message.kind != "task":
            return await tools.call("schedule_task", {"prompt": "x", "recurrence": "@every 300"})
        await tools.call("pause_task", {"task_id": message.id})
        world.kill_runner()
        await trio.sleep(600)
        return "never"

    ann = world.user("ann")
    await world.direct(ann, world.agent(brain=brain))
    await ann.says("go")
    await world.sleep(400)
    claims = "SELECT count(*) FROM processing_ack WHERE status = 'processing'"
    assert rows(only_session(world.home).outbound_db, claims) == [(2,)]  # the answer of the tool is the other
    await ann.says("go")
    await world.sleep(5)
    assert rows(only_session(world.home).outbound_db, claims) == [(0,)]
