"""What a runner finds claimed by the one before it: its own death makes that no dearer."""

import apsw
import pytest
import trio

from agent_runner.providers import Toolbox
from agent_runner.records import Turn
from nanoclaw.testing import User, World, says, script, simulate, thinks
from nanoclaw.testing.invariants import rows
from tests.host.homes import only_session


async def host_dies_in_a_turn(world: World) -> User:
    """Somebody has said something, and the host dies while that is answered; returns who it was."""
    ann = world.user("ann")
    await world.direct(ann, world.agent(brain=script([thinks(600), says("one")], says("two"))))
    await ann.says("one")
    await world.sleep(5)
    await world.kill_host()
    return ann


def tries(world: World) -> list[int]:
    query = "SELECT coalesce(tries, 0) FROM messages_in ORDER BY seq"
    return [n for (n,) in rows(only_session(world.home).inbound_db, query)]


async def scenario(world: World) -> list[int]:
    """A host dies in a turn; as the next one starts, something is said, and its runner dies at once."""
    ann = await host_dies_in_a_turn(world)

    def at_birth(event: str, details: tuple[object, ...]) -> None:
        if event == "runner started":
            world.timeline.steps.remove(at_birth)
            world.kill_runner(str(details[0]))

    world.timeline.steps.append(at_birth)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ann.says, "two")
        await world.start()
    await world.sleep(1.5)
    return tries(world)


@pytest.mark.parametrize("seed", range(3))
def test_a_message_that_comes_before_the_first_look_makes_no_claim_the_next_runners_own(seed: int) -> None:
    assert simulate(scenario, seed=seed)[0] == [0, 0]


async def locked(world: World) -> list[int]:
    """A host dies in a turn; the next one cannot read the runner's file for longer than it waits for that."""
    ann = await host_dies_in_a_turn(world)
    holder = apsw.Connection(str(only_session(world.home).outbound_db))
    holder.execute("BEGIN EXCLUSIVE")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ann.says, "two")
        await world.start()
        await trio.sleep(8)
        holder.close()
    await world.sleep(1.5)
    return tries(world)


def test_a_look_in_vain_does_not_tell_what_was_claimed_before() -> None:
    assert simulate(locked, seed=1)[0] == [0, 0]


async def test_a_claim_of_a_task_that_has_paused_itself_does_not_outlive_its_runner(world: World) -> None:
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
