"""At most `[sandbox] max_running` sandboxes run, and sessions get their turns in order."""

from typing import Any

import pytest
import trio

from agent_runner.providers import Toolbox
from agent_runner.records import Turn
from nanoclaw.records.status import SessionDetails
from nanoclaw.testing import World
from nanoclaw.testing.world.chats import Chat, User
from tests.sandbox.isolated import isolated

pytestmark = pytest.mark.world(settings={"sandbox.max_running": 1}, seams=isolated)
TURN_S = 20.0
ONE: dict[str, Any] = {"sandbox.max_running": 1}


class Slow:
    """A brain whose turns take a while."""

    def __init__(self, world: World, seconds: float = TURN_S) -> None:
        self.world, self.seconds = world, seconds
        self.working = self.most = self.turns = 0

    async def __call__(self, turn: Turn, _tools: Toolbox) -> str:
        self.working += 1
        self.turns += 1
        self.most = max(self.most, self.working)
        try:
            await trio.sleep(self.seconds)
        finally:
            self.working -= 1
        return "done: " + " ".join(str(message.content["text"]) for message in turn.messages)


async def people(world: World, *names: str) -> dict[str, tuple[User, Chat]]:
    """Return users, each with a chat of their own."""
    found = {}
    for name in names:
        user = world.user(name)
        found[name] = user, await world.direct(user)
    return found


async def details(world: World) -> dict[str, SessionDetails]:
    report = await world.host.status()
    return {each.chat or "": each.details for each in report.living_sessions if each.details is not None}


async def states(world: World) -> list[tuple[str, int | None]]:
    return sorted((each.runner.state, each.queued) for each in (await details(world)).values())


async def test_sessions_get_their_turns_in_order_and_the_status_shows_the_queue(world: World) -> None:
    slow = Slow(world)
    world.agent("main", slow)
    folk = await people(world, "ann", "ben", "cid")
    for name, (user, _) in folk.items():
        await user.says(f"hello of {name}")
        await trio.sleep(1)
    assert await states(world) == [("running", None), ("waiting", 1), ("waiting", 2)]
    for name, (_, chat) in folk.items():
        await chat.expect(f"done: hello of {name}", within=TURN_S + 10)
    assert (slow.most, slow.turns) == (1, 3)


async def test_an_idle_runner_gives_its_place_up_at_once(world: World) -> None:
    folk = await people(world, "ann", "ben")
    for name, (user, chat) in folk.items():
        await user.says(name)
        await chat.expect(f"echo: {name}", within=3)


@pytest.mark.world(settings={"sandbox.max_running": 2}, seams=isolated)
async def test_only_as_many_idle_runners_stop_as_sessions_wait(world: World) -> None:
    folk = await people(world, "ann", "ben", "cid")
    for name, (user, chat) in folk.items():
        await user.says(name)
        await chat.expect(f"echo: {name}", within=3)
    await trio.sleep(30)
    found = await details(world)
    assert [each.runner.state for each in found.values()] == ["running", "running"]  # the first has retired


async def test_a_runner_that_always_has_work_gives_its_place_up_between_turns(world: World) -> None:
    slow = Slow(world, 10)
    world.agent("main", slow)
    folk = await people(world, "ann", "ben")
    ann, ben = folk["ann"], folk["ben"]

    async def chatters() -> None:
        for n in range(60):
            await ann[0].says(f"more {n}")
            await trio.sleep(5)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(chatters)
        await trio.sleep(1)
        await ben[0].says("and I?")
        await ben[1].expect("done: and I?", within=100)
        nursery.cancel_scope.cancel()


async def test_a_turn_is_never_interrupted(world: World) -> None:
    slow = Slow(world, 600)
    world.agent("main", slow)
    folk = await people(world, "ann", "ben")
    await folk["ann"][0].says("long")
    await trio.sleep(1)
    await folk["ben"][0].says("short")
    await folk["ann"][1].expect("done: long", within=610)
    assert slow.turns == 1
    await folk["ben"][1].expect("done: short", within=610)


@pytest.mark.world(settings={"sandbox.max_running": 2}, seams=isolated)
async def test_a_wait_costs_no_try_and_a_claim_of_a_dead_host_is_not_stuck_meanwhile(world: World) -> None:
    slow = Slow(world, 300)
    world.agent("main", slow)
    folk = await people(world, "ann", "ben")
    for name, (user, _) in folk.items():
        await user.says(name)
    await trio.sleep(100)
    await world.kill_host()
    await world.start(**ONE)
    await trio.sleep(200)
    [waiting] = [each for each in (await details(world)).values() if each.queued]
    assert waiting.runner.failures == 0
    for name, (_, chat) in folk.items():
        await chat.expect(f"done: {name}", within=1000)
    assert all(each.runner.failures == 0 for each in (await details(world)).values())


async def test_a_session_that_waits_can_be_paused_resumed_and_restarted(world: World) -> None:
    world.agent("main", Slow(world))
    folk = await people(world, "ann", "ben")
    await folk["ann"][0].says("one")
    await trio.sleep(1)
    await folk["ben"][0].says("two")
    await trio.sleep(1)
    sessions = await world.host.admin.sessions.list()
    waiting = sessions[1].id
    await world.host.admin.sessions.restart(waiting)
    assert await states(world) == [("running", None), ("waiting", 1)]
    await world.host.admin.sessions.pause(waiting)
    await trio.sleep(1)
    assert await states(world) == [("running", None)]  # the paused one waits for nothing
    await world.host.admin.sessions.resume(waiting)
    await folk["ben"][1].expect("done: two", within=2 * TURN_S + 5)


async def test_a_host_with_waiting_sessions_stops_at_once_and_loses_nothing(world: World) -> None:
    world.agent("main", Slow(world, 300))
    folk = await people(world, "ann", "ben", "cid")
    for name, (user, _) in folk.items():
        await user.says(name)
    await trio.sleep(1)
    before = trio.current_time()
    await world.stop()
    assert trio.current_time() - before < 2
    await world.start()
    for name, (_, chat) in folk.items():
        await chat.expect(f"done: {name}", within=1000)


@pytest.mark.world(settings={"sandbox.max_running": 3}, seams=isolated, outliving=True)
async def test_runners_that_outlived_their_host_are_adopted_and_count(world: World) -> None:
    slow = Slow(world, 30)
    world.agent("main", slow)
    folk = await people(world, "ann", "ben", "cid", "dan")
    for name in ("ann", "ben", "cid"):
        await folk[name][0].says(name)
    await trio.sleep(1)
    await world.kill_host()
    await world.start(**ONE)
    await folk["dan"][0].says("dan")
    await trio.sleep(1)
    assert await states(world) == [("running", None), ("running", None), ("running", None), ("waiting", 1)]
    for name, (_, chat) in folk.items():
        await chat.expect(f"done: {name}", within=90)
    assert slow.turns == 4


@pytest.mark.world(settings={"sandbox.max_running": 1})
async def test_a_runtime_that_isolates_nothing_has_no_limit(world: World) -> None:
    slow = Slow(world)
    world.agent("main", slow)
    folk = await people(world, "ann", "ben")
    for name, (user, _) in folk.items():
        await user.says(name)
    await trio.sleep(1)
    assert slow.working == len(folk)
