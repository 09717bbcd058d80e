"""Providers that open, close, keep state or offer tools wrongly, and the check that finds each."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import trio
import trio.lowlevel
from attrs import define, field, frozen

from agent_runner.providers import ProviderContext, SimpleProvider, Tool, Toolbox, ToolSpec, TurnHandler
from agent_runner.records import Result, Turn
from tests.conformance.broken_providers import CALL, Run, yes

Open = Callable[[ProviderContext], AbstractAsyncContextManager[TurnHandler]]


@define(eq=False)
class Living:
    """A provider with a given `open`, and the messages to its model."""

    opening: Open
    name: str = "living"
    up: bool = True
    offered: list[str] = field(factory=list)

    def open(self, context: ProviderContext, /) -> AbstractAsyncContextManager[TurnHandler]:
        if not self.up and self.opening is needs_its_model:
            return Unreachable()
        return self.opening(context)


@frozen
class Turns:
    """Turns taken by a function."""

    act: Run

    async def run(self, turn: Turn, tools: Toolbox, /) -> Result:
        await trio.lowlevel.checkpoint()
        return await self.act(turn, tools)


async def answered(turn: Turn, _tools: Toolbox) -> Result:
    await trio.sleep(1)
    return yes(turn)


@asynccontextmanager
async def needs_its_model(_context: ProviderContext) -> AsyncIterator[TurnHandler]:
    yield Turns(answered)


class Unreachable(AbstractAsyncContextManager[TurnHandler]):
    """A provider that needs its model immediately and cannot reach it."""

    async def __aenter__(self) -> TurnHandler:
        await trio.lowlevel.checkpoint()
        raise OSError("connection refused")

    async def __aexit__(self, *_error: object) -> None:
        await trio.lowlevel.checkpoint()


@asynccontextmanager
async def fails_to_close(_context: ProviderContext) -> AsyncIterator[TurnHandler]:
    yield Turns(answered)
    raise RuntimeError("already closed")


@asynccontextmanager
async def adds_a_tool_with_a_bad_schema(context: ProviderContext) -> AsyncIterator[TurnHandler]:
    context.tools.add(Tool(ToolSpec("x", "x", {"type": "object", "properties": 5}), nothing))
    yield Turns(answered)


async def nothing(_arguments: object) -> str:
    return ""


@asynccontextmanager
async def opens_under_a_shield(_context: ProviderContext) -> AsyncIterator[TurnHandler]:
    await trio.lowlevel.checkpoint()
    with trio.CancelScope(shield=True):
        await trio.sleep(9)
    yield Turns(answered)


@asynccontextmanager
async def says_goodbye_for_long(_context: ProviderContext) -> AsyncIterator[TurnHandler]:
    try:
        yield Turns(answered)
    finally:
        with trio.CancelScope(shield=True):
            await trio.sleep(9)


@asynccontextmanager
async def opens_only_once(context: ProviderContext) -> AsyncIterator[TurnHandler]:
    if await context.state.get("id"):
        raise RuntimeError("there is a conversation already")
    await context.state.set("id", "1")
    yield Turns(answered)


@asynccontextmanager
async def trusts_its_state(context: ProviderContext) -> AsyncIterator[TurnHandler]:
    history = json.loads(await context.state.get("history") or "[]")

    async def act(turn: Turn, _tools: Toolbox) -> Result:
        return Result(yes(turn).replies, state={"history": json.dumps([*history, turn.turn_id])})

    yield Turns(act)


@asynccontextmanager
async def breaks_with_more_tools(context: ProviderContext) -> AsyncIterator[TurnHandler]:
    known = len(context.tools.specs)

    async def act(turn: Turn, tools: Toolbox) -> Result:
        assert len(tools.specs) == known
        return yes(turn)

    yield Turns(act)


@asynccontextmanager
async def takes_refused_arguments_for_a_failure(_context: ProviderContext) -> AsyncIterator[TurnHandler]:
    async def act(turn: Turn, tools: Toolbox) -> Result:
        if CALL in str(turn.messages[0].content):
            await tools.call("send_message", {"text": "x"})
        return yes(turn)

    yield Turns(act)


LIFE_FAULTS: list[tuple[str, Open]] = [
    ("it_opens_and_closes", fails_to_close),
    ("it_opens_and_closes", adds_a_tool_with_a_bad_schema),
    ("cancelled_while_it_opens_it_goes", opens_under_a_shield),
    ("cancelled_between_turns_it_closes", says_goodbye_for_long),
    ("cancelled_in_a_turn_it_closes", says_goodbye_for_long),
    ("when_it_cannot_open_it_says_why", needs_its_model),
    ("the_next_runner_goes_on_with_its_state", opens_only_once),
    ("damaged_state_does_not_stop_it", trusts_its_state),
    ("tools_may_appear_and_vanish", breaks_with_more_tools),
    ("a_call_that_does_not_fit_its_schema_does_not_end_the_turn", takes_refused_arguments_for_a_failure),
]


@define(eq=False)
class Remembering(SimpleProvider):
    """A provider that tells its model only of the tools that it saw first."""

    name: str = "remembering"
    offered: list[str] = field(factory=list)

    async def run(self, turn: Turn, tools: Toolbox, /) -> Result:
        await trio.lowlevel.checkpoint()
        self.offered = self.offered or [spec.name for spec in tools.specs]
        return yes(turn)
