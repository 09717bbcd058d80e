"""What a runner finds claimed by the one before it: its own death makes that no dearer."""

import pytest
import trio

from nanoclaw.testing import World, says, script, simulate, thinks
from nanoclaw.testing.invariants import rows


async def scenario(world: World) -> list[int]:
    """A host dies in a turn; as the next one starts, something is said, and its runner dies at once."""
    ann = world.user("ann")
    await world.direct(ann, world.agent(brain=script([thinks(600), says("one")], says("two"))))
    await ann.says("one")
    await world.sleep(5)
    await world.kill_host()

    def at_birth(event: str, details: tuple[object, ...]) -> None:
        if event == "runner started":
            world.timeline.steps.remove(at_birth)
            world.kill_runner(str(details[0]))

    world.timeline.steps.append(at_birth)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ann.says, "two")
        await world.start()
    await world.sleep(1.5)
    [file] = (world.home / "data").glob("sessions/*/*/inbound/inbound.db")
    return [tries for (tries,) in rows(file, "SELECT coalesce(tries, 0) FROM messages_in ORDER BY seq")]


@pytest.mark.parametrize("seed", range(3))
def test_a_message_that_comes_before_the_first_look_makes_no_claim_the_next_runners_own(seed: int) -> None:
    assert simulate(scenario, seed=seed)[0] == [0, 0]
