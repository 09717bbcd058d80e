"""A conversation with a provider in a test: turns one after the other, with what they leave behind."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from attrs import define, evolve, field

from agent_runner.providers import HttpClients, ProviderContext, TurnHandler, load
from agent_runner.records import Inbound, Result, Turn
from nanoclaw.testing import FakeModel
from nanoclaw.testing.conformance.contexts import MemoryEvents, MemoryState, session_context
from nanoclaw.testing.conformance.turns import Tools, message, turn_of
from nanoclaw.testing.models import Answers

PROVIDERS = ("anthropic", "openai")


@define(eq=False)
class Talk:
    """One runner's life with an open provider."""

    handler: TurnHandler
    context: ProviderContext
    state: MemoryState
    tools: Tools = field(factory=Tools)
    said: int = 0

    async def say(self, text: str, *, more: Sequence[Inbound] = (), **changes: object) -> list[str]:
        """Take a turn over a message, commit its state, and return its texts."""
        self.said += 1
        turn = turn_of(message(self.said, text), *more)
        return await self.take(evolve(turn, **changes))  # type: ignore[misc]  # any field of a turn

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
    provider: str, model: HttpClients, state: MemoryState | None = None, **settings: object
) -> AsyncIterator[Talk]:
    """Open a provider whose model is this one."""
    state = state or MemoryState()
    given = {"provider": provider, "name": "fake-model", **settings}
    with session_context(state, model, given) as context:
        async with load(provider).open(context) as handler:
            yield Talk(handler, context, state)


@asynccontextmanager
async def answering(
    provider: str, *answers: object, **settings: object
) -> AsyncIterator[tuple[Talk, FakeModel]]:
    """Open a provider whose model gives these answers, one after the other."""
    found: Answers = answers  # type: ignore[assignment]  # checked by the model
    model = FakeModel(found)
    async with talking(provider, model, **settings) as talk:
        yield talk, model
