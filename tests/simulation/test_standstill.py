"""Tasks that loop without waiting end the world, and the error names them."""

from contextlib import suppress

import pytest
import trio

from nanoclaw.testing import Standstill, World, simulate
from nanoclaw.testing.world import standstill


@pytest.fixture(autouse=True)
def few_rounds_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standstill, "ROUNDS", 20_000)


@pytest.mark.parametrize("shield", [False, True])
def test_a_loop_without_waiting_ends_the_world_even_in_a_shielded_scope(*, shield: bool) -> None:
    async def scenario(world: World) -> None:
        async with world.life():
            await world.sleep(12.5)
            with trio.CancelScope(shield=shield):
                while True:
                    await trio.lowlevel.checkpoint()

    with pytest.raises(
        Standstill, match=r"rounds of the scheduler, and it is still 12\.5 s.*test_standstill:"
    ):
        simulate(scenario, seed=1)


def test_two_tasks_that_wake_each_other_endlessly_end_the_world() -> None:
    async def scenario(_world: World) -> None:
        there, back = trio.open_memory_channel[None](0)

        async def serve() -> None:
            while True:
                await there.send(None)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            async for _ in back:
                pass

    with pytest.raises(Standstill):
        simulate(scenario, seed=1)


def test_many_short_waits_do_not_end_the_world() -> None:
    async def scenario(world: World) -> None:
        for _ in range(25_000):
            await world.sleep(0.01)

    simulate(scenario, seed=1)


def test_a_loop_without_a_checkpoint_ends_the_world(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standstill, "NO_ROUND_S", 0.02)

    async def scenario(_world: World) -> None:
        while True:
            pass

    with pytest.raises(
        Standstill, match=r"0\.02 s of the processor without a checkpoint, at .*standstill:\d"
    ):
        simulate(scenario, seed=1)


def test_a_loop_that_swallows_the_error_ends_the_world(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standstill, "NO_ROUND_S", 0.02)

    async def scenario(_world: World) -> None:
        while True:
            with suppress(Exception):
                while True:
                    pass

    with pytest.raises(Standstill, match="without a checkpoint"):
        simulate(scenario, seed=1)
