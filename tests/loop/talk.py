"""A conversation with a provider in a test: turns one after the other, with what they leave behind."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import trio
from attrs import define, evolve, field

from agent_runner.errors import ToolError
from agent_runner.providers import HttpClients, ProviderContext, ToolSpec, TurnHandler, load
from agent_runner.providers.toolbox import ShownFile
from agent_runner.records import Inbound, Result, Turn
from nanoclaw.testing import FakeModel
from nanoclaw.testing.conformance.contexts import MemoryEvents, MemoryState, session_context
from nanoclaw.testing.conformance.turns import Tools, message, turn_of
from nanoclaw.testing.models import Answers

PROVIDERS = ("anthropic", "openai")


@define(eq=False)
class Desk(Tools):
    """Tools that run functions of the test, beside `send_message`."""

    functions: dict[str, Callable[[Mapping[str, object]], Awaitable[str]]] = field(factory=dict)
    shown: list[ShownFile] = field(factory=list)
    """Files that the functions show to the model."""
    arriving: list[Inbound] = field(factory=list)
    """Follow-ups that have arrived. The test adds to it, and sets `arrived`."""
    arrived: trio.Event = field(factory=trio.Event)

    @property
    def specs(self) -> Sequence[ToolSpec]:
        return [self.spec, *(ToolSpec(name, name, {"type": "object"}) for name in self.functions)]

    def take_shown(self) -> Sequence[ShownFile]:
        shown, self.shown = self.shown, []
        return shown

    async def call(self, name: str, arguments: Mapping[str, object]) -> str:
        if name in self.functions:
            self.calls.append((name, arguments))
            return await self.functions[name](arguments)
        if name != self.spec.name:
            raise ToolError(f"there is no tool {name!r}")
        return await super().call(name, arguments)

    async def follow_ups(self) -> Sequence[Inbound]:
        await self.arrived.wait()
        self.arrived = trio.Event()
        rows, self.arriving = self.arriving, []
        return rows

    def arrive(self, row: Inbound) -> None:
        self.arriving.append(row)
        self.arrived.set()


@define(eq=False)
class Talk:
    """One runner's life with an open provider."""

    handler: TurnHandler
    context: ProviderContext
    state: MemoryState
    tools: Desk = field(factory=Desk)
    said: int = 0

    async def say(self, text: str, *, more: Sequence[Inbound] = (), **changes: Any) -> list[str]:
        """Take a turn over a message, commit its state, and return its texts."""
        self.said += 1
        turn = turn_of(message(self.said, text), *more)
        return await self.take(evolve(turn, **changes))

    async def take(self, turn: Turn) -> list[str]:
        """Take a turn, commit its state, and return its texts."""
        return [reply.text for reply in (await self.result(turn)).replies]

    async def result(self, turn: Turn) -> Result:
        """Take a turn and commit its state."""
        result = await self.handler.run(turn, self.tools)
        self.state.apply(result.state)
        return result

    def recorded(self, kind: str) -> list[Mapping[str, object]]:
        """Return the events of a kind."""
        assert isinstance(self.context.events, MemoryEvents)
        return [data for each, data in self.context.events.recorded if each == kind]


@asynccontextmanager
async def talking(
    provider: str, model: HttpClients, state: MemoryState | None = None, **settings: Any
) -> AsyncIterator[Talk]:
    """Open a provider whose model is this one."""
    state = state or MemoryState()
    given = {"provider": provider, "name": "fake-model", **settings}
    with session_context(state, model, given) as context:
        async with load(provider).open(context) as handler:
            yield Talk(handler, context, state)


@asynccontextmanager
async def answering(
    provider: str, *answers: object, **settings: Any
) -> AsyncIterator[tuple[Talk, FakeModel]]:
    """Open a provider whose model gives these answers, one after the other."""
    found: Answers = answers  # type: ignore[assignment]  # checked by the model
    model = FakeModel(found)
    async with talking(provider, model, **settings) as talk:
        yield talk, model
