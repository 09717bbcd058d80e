"""Agents that write to each other, in real time: threads, processes, real files and wake-ups."""

import pytest

from nanoclaw.session.agents import MAX_HOPS
from nanoclaw.testing import World
from nanoclaw.testing.channel import FakeChannel
from tests.dispatch.pairs import a_pair, tell

pytestmark = pytest.mark.slow


@pytest.mark.world(real=True, channel=FakeChannel())
async def test_two_agents_in_processes_of_their_own_write_to_each_other(world: World) -> None:
    pair = await a_pair(world)
    await pair.ann.says(tell("hi"))
    while not pair.sessions(pair.helper) or not pair.told(pair.helper):
        await world.sleep(0.1)
    hops = [each.hops for each in (*pair.received(pair.helper), *pair.received(pair.main))]
    assert sorted(filter(None, hops)) == list(range(1, MAX_HOPS + 1))
