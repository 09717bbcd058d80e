from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
import trio
from attrs import define
from trio.testing import MockClock, wait_all_tasks_blocked

from nanoclaw.system import clock_watch
from nanoclaw.system.clock import JUMP_S, LOOK_AT_CLOCK_S, SystemClock
from nanoclaw.testing.world.virtual_time import VirtualClock


@define(eq=False)
class Machine(SystemClock):
    """A system clock that follows trio's clock, plus an offset."""

    ahead_s: float = 0.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(trio.current_time() + self.ahead_s, UTC)


@pytest.mark.parametrize("by_s", [JUMP_S, -JUMP_S, 1e6, -1e6])
async def test_a_jump_is_noticed_at_the_next_look(autojump_clock: MockClock, by_s: float) -> None:
    del autojump_clock
    machine = Machine()
    with trio.move_on_after(3600) as scope:
        await machine.jumped()
    assert scope.cancelled_caught
    async with trio.open_nursery() as nursery:
        nursery.start_soon(machine.jumped)
        await wait_all_tasks_blocked()
        machine.ahead_s += by_s
        with trio.fail_after(LOOK_AT_CLOCK_S + 0.1):
            while nursery.child_tasks:  # noqa: ASYNC110 -- virtual time
                await trio.sleep(0.05)


async def test_small_steps_are_noticed_once_they_add_up_to_a_jump(autojump_clock: MockClock) -> None:
    del autojump_clock
    machine, noticed = Machine(), 0

    async def count() -> None:
        nonlocal noticed
        while True:
            await machine.jumped()
            noticed += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(count)
        for _ in range(10):
            machine.ahead_s += 0.4 * JUMP_S
            await trio.sleep(2 * LOOK_AT_CLOCK_S)
        nursery.cancel_scope.cancel()
    assert noticed == 3


async def test_each_jump_is_reported_and_logged_with_its_size(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    del autojump_clock
    clock, told, logged = VirtualClock(), list[float](), list[tuple[str, float]]()
    log = SimpleNamespace(info=lambda event, *, by_s: logged.append((event, by_s)))
    monkeypatch.setattr(clock_watch, "_log", log)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(clock_watch.watch_clock, clock, lambda: told.append(trio.current_time()))
        for by in (timedelta(hours=1), timedelta(days=-1)):
            await trio.sleep(60)
            clock.jump(by)
            await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert logged == [("clock.jumped", 3600.0), ("clock.jumped", -86400.0)]
    assert told == [60.0, 120.0]
