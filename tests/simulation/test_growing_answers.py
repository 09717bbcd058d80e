"""What users see of an answer while it is written: drafts in simulated worlds."""

import pytest
import trio

from agent_runner.errors import ProviderError
from agent_runner.providers import Toolbox
from agent_runner.records import Result, Turn
from nanoclaw.testing import FakeChannel, World, simulate
from nanoclaw.testing.world.scripted_provider import Brain


def writing(*texts: str, pause_s: float = 0.1, fails: bool = False) -> Brain:
    """Write an answer that grows, or give it up at the first try."""
    tries = 0

    async def brain(turn: Turn, tools: Toolbox) -> str | Result | None:
        nonlocal tries
        tries += 1
        for text in texts:
            tools.draft(text)
            await trio.sleep(pause_s)
        if fails and tries == 1:
            raise ProviderError("the network is down")
        return f"{texts[-1]}, {turn.messages[0].content['text']}"

    return brain


def shown(channel: FakeChannel) -> list[str]:
    """Return the drafts that the channel was given."""
    return [text for _, text in channel.drafts]


def test_an_answer_is_shown_while_it_is_written_and_replaced_by_the_final_text() -> None:
    channel = FakeChannel()

    async def scenario(world: World) -> None:
        ann = world.user("ann")
        chat = await world.direct(ann, world.agent("main", writing("good", "good morning")))
        await ann.says("Ann")
        await chat.expect("good morning, Ann")
        await world.sleep(60)

    simulate(scenario, seed=1, channel=channel)
    assert shown(channel) == ["good", "good morning"]  # the final text has removed it
    assert {address for address, _ in channel.drafts} == {channel.sent[0].address}


def test_drafts_that_follow_fast_are_skipped_for_the_newest() -> None:
    channel = FakeChannel()

    async def scenario(world: World) -> None:
        ann = world.user("ann")
        texts = [f"text {n}" for n in range(100)]
        chat = await world.direct(ann, world.agent("main", writing(*texts, pause_s=0.01)))
        await ann.says("Ann")
        await chat.expect("text 99, Ann")

    simulate(scenario, seed=1, channel=channel)
    numbers = [int(text.split()[1]) for text in shown(channel)]
    assert numbers == sorted(set(numbers))
    assert 15 <= len(numbers) <= 21


def test_the_draft_of_a_lost_answer_is_removed() -> None:
    channel = FakeChannel()

    async def scenario(world: World) -> None:
        ann = world.user("ann")
        chat = await world.direct(ann, world.agent("main", writing("hello", fails=True)))
        await ann.says("Ann")
        await world.sleep(1)
        assert shown(channel) == ["hello", ""]
        await chat.expect("hello, Ann", within=100)

    simulate(scenario, seed=1, channel=channel)
    assert shown(channel) == ["hello", "", "hello"]


def test_the_draft_of_a_killed_runner_is_removed() -> None:
    channel = FakeChannel()

    async def scenario(world: World) -> None:
        ann = world.user("ann")
        chat = await world.direct(ann, world.agent("main", writing("hello", pause_s=5)))
        await ann.says("Ann")
        await world.sleep(3)
        assert shown(channel) == ["hello"]
        world.kill_runner()
        await world.sleep(0.2)
        assert shown(channel) == ["hello", ""]
        await chat.expect("hello, Ann", within=100)

    simulate(scenario, seed=1, channel=channel)


def test_a_host_that_is_killed_shows_the_draft_of_the_next_try() -> None:
    channel = FakeChannel()

    async def scenario(world: World) -> None:
        ann = world.user("ann")
        chat = await world.direct(ann, world.agent("main", writing("hello", pause_s=5)))
        await ann.says("Ann")
        await world.sleep(3)
        await world.kill_host()
        await world.start()
        await chat.expect("hello, Ann", within=100)

    simulate(scenario, seed=1, channel=channel)
    assert set(shown(channel)) - {""} == {"hello"}


@pytest.mark.parametrize("how", ["raise", "hang"])
def test_a_channel_that_fails_at_drafts_gets_the_answer(how: str) -> None:
    channel = FakeChannel()
    if how == "hang":
        channel.hints_hang = True
    else:
        channel.hints_raise = OSError("no drafts")

    async def scenario(world: World) -> None:
        ann = world.user("ann")
        chat = await world.direct(ann, world.agent("main", writing("hello", "hello you")))
        await ann.says("Ann")
        await chat.expect("hello you, Ann", within=20)

    simulate(scenario, seed=1, channel=channel)
    assert shown(channel) == []


def test_a_provider_takes_a_draft_back_with_an_empty_text() -> None:
    channel = FakeChannel()

    async def scenario(world: World) -> None:
        ann = world.user("ann")
        chat = await world.direct(ann, world.agent("main", writing("let me see", "", "done")))
        await ann.says("Ann")
        await chat.expect("done, Ann")

    simulate(scenario, seed=1, channel=channel)
    assert shown(channel) == ["let me see", "", "done"]


def test_a_world_with_drafts_is_played_again_alike() -> None:
    async def scenario(world: World) -> list[tuple[float, str]]:
        ann = world.user("ann")
        chat = await world.direct(ann, world.agent("main", writing("a", "b", "c", pause_s=0.033)))
        await ann.says("Ann")
        await chat.expect("c, Ann")
        return [(trio.current_time(), text) for _, text in channel.drafts]

    channel = FakeChannel()
    first, _ = simulate(scenario, seed=7, channel=channel)
    channel = FakeChannel()
    assert simulate(scenario, seed=7, channel=channel)[0] == first
