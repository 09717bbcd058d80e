"""Agents that write to each other, in real time: threads, processes, real files and wake-ups."""

import json

import pytest

from nanoclaw.testing import World
from nanoclaw.testing.world.channel import FakeChannel
from tests.dispatch.pairs import a_pair, tell

pytestmark = pytest.mark.slow


@pytest.mark.world(real=True, channel=FakeChannel())
async def test_an_agent_in_a_process_answers_another_agent(world: World) -> None:
    pair = await a_pair(world)
    admin = world.host.admin
    [chat] = await admin.chats.list()
    await admin.destinations.add(pair.helper.id, "ann", chat=chat.id)
    request = f"!send_message {json.dumps({'text': 'from the helper', 'to': 'ann'})}"
    await pair.ann.says(tell(request))
    await pair.chat.expect("from the helper", within=60)
