"""A task that is paused while it runs or as it ends delays no other work."""

import re
from contextlib import suppress

from agent_runner.errors import ToolError
from agent_runner.providers import Toolbox
from agent_runner.records import Turn
from nanoclaw.testing import World


def lives(world: World) -> int:
    return sum("runner started" in line for line in world.timeline.events())


async def test_the_next_run_of_a_task_paused_as_it_ends_starts_no_runner(world: World) -> None:
    async def brain(turn: Turn, tools: Toolbox) -> str:
        message = turn.messages[-1]
        if message.kind != "task":
            return await tools.call("schedule_task", {"prompt": "x", "recurrence": "@every 300"})
        world.kill_host_now()  # so that the next host finds the request and the end of the turn at one look
        with suppress(ToolError):
            await tools.call("pause_task", {"task_id": message.id})
        return "paused"

    async with world.runtime.outliving():
        ann = world.user("ann")
        chat = await world.direct(ann, world.agent(brain=brain))
        await ann.says("go")
        await world.sleep(400)
        await world.start()
        await chat.expect("paused")
        before = lives(world)
        await chat.expect_nothing(within=7200)
        assert lives(world) == before


async def test_a_resumed_task_skips_its_missed_run_and_continues_with_the_next(world: World) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann)
    await ann.says('!schedule_task {"prompt": "tea", "recurrence": "@every 300", "catch_up": "none"}')
    scheduled = await chat.expect(re.compile("task-"))
    task = next(word.strip('.,"') for word in scheduled.text.split() if word.strip('.,"').startswith("task-"))
    await ann.says(f'!pause_task {{"task_id": "{task}"}}')
    await world.sleep(hours=1)
    await ann.says(f'!resume_task {{"task_id": "{task}"}}')
    await chat.expect("echo: tea", within=700)
