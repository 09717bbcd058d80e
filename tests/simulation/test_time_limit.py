"""A world that waits too long ends with an error that says where it waited."""

import pytest
import trio

from agent_runner.providers import Toolbox
from agent_runner.records import Turn
from nanoclaw.testing import World, WorldError, simulate

HERE = r"has not ended within 3660 days of its own; there waits: test_time_limit\.py:\d+"


@pytest.mark.parametrize("host", [False, True])
@pytest.mark.parametrize("shield", [False, True])
def test_a_scenario_that_exceeds_the_time_limit_fails_and_reports_where_it_waits(
    *, host: bool, shield: bool
) -> None:
    async def scenario(world: World) -> None:
        if host:
            await world.start()
        with trio.CancelScope(shield=shield):
            await trio.Event().wait()

    with pytest.raises(WorldError, match=HERE):
        simulate(scenario, seed=1)


def test_a_brain_that_waits_in_a_shielded_scope_is_ended() -> None:
    async def brain(turn: Turn, tools: Toolbox) -> None:
        del turn, tools
        with trio.CancelScope(shield=True):
            await trio.sleep_forever()

    async def scenario(world: World) -> None:
        ann = world.user("ann")
        await world.direct(ann, world.agent(brain=brain))
        await ann.says("hello")
        await world.sleep(1)

    with pytest.raises(WorldError, match=HERE):
        simulate(scenario, seed=1)


def test_a_scenario_can_set_its_own_time_limit() -> None:
    async def scenario(world: World) -> None:
        await world.sleep(days=30)

    with pytest.raises(WorldError, match=r"within 29\.5 days"):
        simulate(scenario, seed=1, limit_days=29.5)
    simulate(scenario, seed=1, limit_days=30.5)
