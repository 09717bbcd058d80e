"""A provider that cannot be opened costs each message a try. After the last one the user is told."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from attrs import define
from trio.testing import MockClock

from agent_runner.providers import ProviderContext, Toolbox, TurnHandler
from agent_runner.records import Reply, Result, Turn
from nanoclaw.testing import World

REASON = "provider 'unreachable' cannot be opened: OSError: connection refused"


@define(eq=False)
class Unreachable:
    """A provider whose model is out of reach for its first runners."""

    failures: int
    name: str = "unreachable"

    @asynccontextmanager
    async def open(self, _context: ProviderContext, /) -> AsyncIterator[TurnHandler]:
        await trio.lowlevel.checkpoint()
        if self.failures:
            self.failures -= 1
            raise OSError("connection refused")
        yield self

    async def run(self, turn: Turn, _tools: Toolbox, /) -> Result:
        await trio.lowlevel.checkpoint()
        return Result((Reply("42", turn.messages[-1].id),))


@pytest.mark.parametrize(
    ("failures", "answer"),
    [
        (2, "42"),
        (
            5,
            f"I could not answer your message after 5 tries: {REASON}",
        ),
    ],
)
async def test_a_message_waits_for_its_provider_for_a_limited_number_of_tries(
    autojump_clock: MockClock, failures: int, answer: str
) -> None:
    del autojump_clock
    provider = Unreachable(failures)
    async with World(providers={"unreachable": lambda: provider}) as world:
        ann = world.user("ann")
        chat = world.chat(ann)
        await world.wire(chat, world.agent("main", brain="unreachable"))
        await ann.says("why?")
        await chat.expect(answer, within=1000)
    assert provider.failures == 0


async def test_commands_are_answered_while_the_provider_is_out_of_reach(autojump_clock: MockClock) -> None:
    del autojump_clock
    provider = Unreachable(100)
    async with World(providers={"unreachable": lambda: provider}) as world:
        ann = world.user("ann")
        chat = world.chat(ann)
        await world.wire(chat, world.agent("main", brain="unreachable"))
        await ann.says("why?")
        await world.sleep(20)
        await ann.says("/status")
        status = await chat.expect(re.compile("^Agent: main"), within=30)
        assert f"No message can be answered now: {REASON}" in str(status)
        await ann.says("/help")
        await chat.expect(re.compile("/compact"), within=30)
