"""How a session watches its runner: every half minute while it has work, whatever else happens."""

from collections.abc import Callable
from itertools import pairwise

import pytest
import trio

from agent_runner.providers import Toolbox
from agent_runner.records import Turn
from nanoclaw.session.keeper import STUCK_S, SWEEP_S, Keeper
from nanoclaw.store.executor import Lane
from nanoclaw.testing.chats import User
from nanoclaw.testing.kill import MortalExecutor
from nanoclaw.testing.world import World


async def test_messages_put_off_no_look_at_a_runner_at_work(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch, watched = Keeper.watch, list[float]()

    def noted(keeper: Keeper, *, claims: bool, tool_timeout_s: float) -> None:
        watched.append(trio.current_time())
        watch(keeper, claims=claims, tool_timeout_s=tool_timeout_s)

    async def brain(_turn: Turn, _tools: Toolbox) -> str:
        await trio.sleep(300)
        return "done"

    monkeypatch.setattr(Keeper, "watch", noted)
    ann = world.user("ann")
    chat = await world.direct(ann, world.agent(brain=brain))
    for _ in range(14):
        await ann.says("go")
        await world.sleep(20)
    await chat.expect("done")
    at_work = [moment for moment in watched if moment < 300]
    assert max(after - before for before, after in pairwise(at_work)) < SWEEP_S + 1


async def test_a_turn_that_is_over_before_it_was_seen_leaves_no_suspicion_behind(world: World) -> None:
    """Each message is claimed and answered before the session looks at either."""
    ann = world.user("ann")
    chat = await world.direct(ann)
    for text in ("one", "two", "three"):
        await ann.says(text)
        await chat.expect(f"echo: {text}")
        await world.sleep(STUCK_S + 1)
    assert [line.split()[1:3] for line in world.timeline.events() if "runner" in line] == [
        ["runner", "started"]
    ]


async def test_a_runner_that_is_always_ahead_of_the_looks_at_it_is_let_be(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Turns end sooner than the host reads, and somebody always waits: each look finds work that lies."""
    run = MortalExecutor.run

    async def slowly(self: MortalExecutor, fn: Callable[[], object], lane: Lane = "read") -> object:
        await trio.sleep(0.1)
        return await run(self, fn, lane=lane)

    async def chatter(user: User) -> None:
        while True:
            await user.says("again", within=60)
            await trio.sleep(0.01)

    ann = world.user("ann")
    await world.direct(ann)
    monkeypatch.setattr(MortalExecutor, "run", slowly)
    with trio.move_on_after(2 * STUCK_S):
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(chatter, ann)
    assert [line.split()[1:3] for line in world.timeline.events() if "runner" in line] == [
        ["runner", "started"]
    ]
