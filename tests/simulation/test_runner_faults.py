"""Runners of simulations that stop where they are, go on, and are timed."""

from datetime import timedelta

import pytest
import trio
from attrs import evolve
from trio.testing import wait_all_tasks_blocked

from agent_runner.records import Inbound
from nanoclaw.simulation.runner_faults import RunnerControl, TurnLog
from nanoclaw.testing.world.virtual_time import EPOCH, VirtualClock


async def test_who_is_stopped_twice_goes_on_at_once(autojump_clock: object) -> None:
    del autojump_clock
    control = RunnerControl(VirtualClock())
    control.freeze()
    with trio.fail_after(1):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(control.wait)
            await wait_all_tasks_blocked()
            control.freeze()
            control.thaw()


@pytest.mark.parametrize(("jump_s", "pause_s"), [(0.0, 36.0), (-1598.0, 36.0), (1598.0, 1634.0)])
async def test_a_pause_is_as_long_as_either_clock_says(
    autojump_clock: object, jump_s: float, pause_s: float
) -> None:
    del autojump_clock
    clock = VirtualClock()
    tries, message = TurnLog(clock), Inbound("in-1", 2, "chat", None, {}, 0, EPOCH)
    with tries.of([message]):
        pass
    clock.jump(timedelta(seconds=jump_s))
    await trio.sleep(36)
    with tries.of([evolve(message, tries=1)]):
        pass
    [(_, _, pause)] = tries.pauses
    assert pause == pytest.approx(pause_s)
