"""The next host adopts the runners that survive a dead host."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import trio
from attrs import Factory, define

from agent_runner.providers import SimpleProvider, Toolbox
from agent_runner.records import Reply, Result, Turn
from nanoclaw.runtimes import Runtime, StartFailed
from nanoclaw.session import open_conversations
from nanoclaw.testing import FakeChannel, World, simulate, wire
from tests.host.homes import only_session, rows

GUARD_S = 86_400.0
IDLE_S = 120.0
BRIEFLY_IDLE: dict[str, Any] = {"runtime.idle_s": IDLE_S}


@define(eq=False)
class Thinker(SimpleProvider):
    """A provider that answers once the test allows it."""

    name: str = "echo"
    asked: trio.Event = Factory(trio.Event)
    let: trio.Event = Factory(trio.Event)
    turns: int = 0

    async def run(self, turn: Turn, tools: Toolbox, /) -> Result:
        del tools
        self.turns += 1
        self.asked.set()
        await self.let.wait()
        return Result(tuple(Reply("thought", message.id) for message in turn.messages))


@define(eq=False)
class Story:
    """A world whose runners outlive their host, one chat in it, and an agent that thinks."""

    world: World
    thinker: Thinker
    network: FakeChannel = Factory(FakeChannel)

    async def first_life(self, until: Callable[[], Awaitable[object]], *, paused: bool = False) -> None:
        """Run a host that is killed once `until` returns."""
        host = await self.world.start(channels=[self.network])
        await wire(host, self.network.address())
        await self.network.say("hello", event_id="1")
        await until()
        if paused:
            self.world.runtime.host_died()  # so that this host does not stop the runner by itself
            [who] = (await host.central.run(open_conversations)).usable
            await host.admin.sessions.pause(who.session.id)
        await self.world.kill_host()

    async def answered(self) -> None:
        self.thinker.let.set()
        await self.network.wait_settled("1")


def told(home: Path, scenario: Callable[[Story], Awaitable[None]]) -> list[str]:
    """Run a scenario; return the events of hosts and runners, in order."""
    thinker = Thinker()

    async def main(world: World) -> None:
        with trio.fail_after(GUARD_S):
            async with world.runtime.outliving():
                await scenario(Story(world, thinker))

    _, timeline = simulate(main, seed=1, home=home, providers={"echo": lambda: thinker})
    events = [line.strip().split("  ")[1] for line in timeline.lines]
    return [event for event in events if event.startswith(("host", "runner"))]


def settled(home: Path) -> list[tuple[str, int]]:
    return rows(only_session(home).inbound_db, "SELECT status, tries FROM messages_in")


def test_a_message_claimed_by_a_surviving_runner_is_answered_once_and_costs_no_try(
    tmp_path: Path,
) -> None:
    async def scenario(story: Story) -> None:
        await story.first_life(story.thinker.asked.wait)
        async with story.world.life(story.network):
            await story.world.sleep(10)
            await story.answered()
        assert (len(story.network.sent), story.thinker.turns) == (1, 1)

    events = told(tmp_path, scenario)
    assert events == [
        "host ready",
        "runner started",
        "host killed",
        "host ready",
        "runner adopted",
        "runner ended",
        "host ended",
    ]
    assert settled(tmp_path) == [("completed", 0)]


def test_the_next_host_delivers_the_reply_of_a_turn_that_ended_without_a_host(tmp_path: Path) -> None:
    async def scenario(story: Story) -> None:
        await story.first_life(story.thinker.asked.wait)
        story.thinker.let.set()
        await story.world.sleep(10)
        async with story.world.life(story.network):
            await story.answered()
        assert (len(story.network.sent), story.thinker.turns) == (1, 1)

    told(tmp_path, scenario)
    assert settled(tmp_path) == [("completed", 0)]


def test_an_idle_surviving_runner_is_adopted_and_stopped_after_the_idle_timeout(tmp_path: Path) -> None:
    async def scenario(story: Story) -> None:
        await story.first_life(story.answered)
        await story.world.sleep(3600)
        async with story.world.life(story.network, **BRIEFLY_IDLE) as host:
            await story.world.sleep(IDLE_S - 10)
            assert list(story.world.runtime.runners) == [node.name for node in host.sessions.nodes()]
            await story.world.sleep(20)
            assert not story.world.runtime.runners
            assert not host.sessions.nodes()

    assert told(tmp_path, scenario)[3:5] == ["host ready", "runner adopted"]


def test_a_surviving_runner_is_stopped_if_its_session_may_not_run(tmp_path: Path) -> None:
    async def scenario(story: Story) -> None:
        await story.first_life(story.answered, paused=True)
        async with story.world.life(story.network):
            await story.world.sleep(10)
            assert not story.world.runtime.runners

    assert told(tmp_path, scenario)[3:6] == ["host ready", "runner adopted", "runner ended"]


def test_a_surviving_runner_with_an_outdated_specification_is_replaced_at_no_try(tmp_path: Path) -> None:
    async def scenario(story: Story) -> None:
        await story.first_life(story.thinker.asked.wait)
        async with story.world.life(story.network, prompt={"assistant_name": "Other"}):
            await story.world.sleep(10)
            await story.answered()
        assert (len(story.network.sent), story.thinker.turns) == (1, 2)

    assert told(tmp_path, scenario)[3:7] == [
        "host ready",
        "runner replaced",
        "runner ended",
        "runner started",
    ]
    assert settled(tmp_path) == [("completed", 0)]


def test_an_adopted_runner_that_dies_costs_its_message_a_try(tmp_path: Path) -> None:
    async def scenario(story: Story) -> None:
        await story.first_life(story.thinker.asked.wait)
        async with story.world.life(story.network):
            await story.world.sleep(10)
            story.world.kill_runner()
            await story.answered()
        assert (len(story.network.sent), story.thinker.turns) == (1, 2)

    told(tmp_path, scenario)
    assert settled(tmp_path) == [("completed", 1)]


def test_a_busy_runner_is_adopted_even_if_the_engine_cannot_list_survivors(
    tmp_path: Path,
) -> None:
    @define(eq=False)
    class Mute:
        """A runtime whose engine is not up when the host starts."""

        runtime: object

        def __getattr__(self, name: str) -> object:
            return getattr(self.runtime, name)

        async def survivors(self) -> list[str]:
            await trio.lowlevel.checkpoint()
            raise StartFailed("the engine is not there")

    async def scenario(story: Story) -> None:
        await story.first_life(story.thinker.asked.wait)
        mute = cast("Runtime", Mute(story.world.runtime))
        async with story.world.life(story.network, runtime=mute):
            await story.world.sleep(10)
            await story.answered()
        assert story.thinker.turns == 1

    assert told(tmp_path, scenario)[3:5] == ["host ready", "runner adopted"]
