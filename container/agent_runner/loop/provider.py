"""A provider made of the agent loop and a client of a model."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from importlib import import_module
from typing import cast

from attrs import define, field, frozen

from agent_runner.errors import ProviderError
from agent_runner.loop.asking import Asking, given_up
from agent_runner.loop.client import ModelClient
from agent_runner.loop.dialogue import Dialogue, open_dialogue
from agent_runner.loop.errors import ModelError
from agent_runner.loop.history import HistoryReader
from agent_runner.loop.models import QUICK_TRIES, Model, Models, Requests
from agent_runner.loop.tokens import Correction
from agent_runner.loop.turn import DraftStream, TurnRun, first_message
from agent_runner.prompt import system_prompt
from agent_runner.providers import ModelSettings, ProviderContext, Toolbox, TurnHandler
from agent_runner.records import Result, Turn

OpenClient = Callable[[ProviderContext, ModelSettings], AbstractAsyncContextManager[ModelClient]]
"""Opens the client of a model. It is closed with the provider."""
FALLBACKS = ("anthropic", "openai", "scripted")
"""The providers whose module has an `open_client`, so that their models may be a fallback."""
EXTRA_REQUESTS = 10
"""Requests of a turn beyond its steps: retries, a summary, a last answer."""


@frozen
class LoopProvider:
    """A provider for any model: the agent loop with a client of its API.

    The loop keeps the conversation and shortens it, runs tools, shows pictures, takes follow-ups, and tries
    again.
    """

    name: str
    """The name by which the provider is chosen."""
    open_client: OpenClient
    """Opens the client."""

    @asynccontextmanager
    async def open(self, context: ProviderContext, /) -> AsyncGenerator[TurnHandler]:
        """Open the client, and that of the fallback."""
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(self.open_client(context, context.model))
            fallback = await _open_fallback(stack, context)
            yield AgentLoop(context, Models(Model(client, context.model), fallback))


async def _open_fallback(stack: AsyncExitStack, context: ProviderContext) -> Model | None:
    settings = context.model.fallback
    if settings is None:
        return None
    if settings.provider not in FALLBACKS:
        raise ProviderError(
            f"[model] fallback: provider {settings.provider!r} cannot be one; use {', '.join(FALLBACKS)}"
        )
    module = import_module(f"agent_runner.providers.{settings.provider}")
    open_client = cast("OpenClient", module.open_client)
    return Model(await stack.enter_async_context(open_client(context, settings)), settings, is_fallback=True)


@define(eq=False)
class AgentLoop:
    """Takes turns with a model and tools. Implements `TurnHandler`, `Compacting` and `Forgetting`."""

    _context: ProviderContext
    _models: Models
    _correction: Correction = field(factory=Correction, init=False)
    _histories: HistoryReader = field(factory=HistoryReader, init=False)

    async def run(self, turn: Turn, tools: Toolbox, /) -> Result:
        """Take a turn."""
        steps = self._context.model.max_turn_steps
        asking = self._asking(steps + EXTRA_REQUESTS, turn.turn_id)
        asking.hear = DraftStream(tools)
        dialogue = await self._dialogue(asking, tools)
        dialogue.system = await system_prompt(self._context, turn)
        dialogue.current.append(first_message(self._context, turn))
        run = TurnRun(self._context, turn, tools, dialogue, steps)
        try:
            return await run.run()
        finally:
            await asking.record_usage(run.steps)

    async def compact(self) -> str:
        """Summarise the conversation now."""
        asking = self._asking(1 + QUICK_TRIES)
        dialogue = await self._dialogue(asking)
        try:
            count = await dialogue.compact(self._models.current(), part=0.0)
        except ModelError as error:
            raise given_up(error, self._context.clock.now()) from error
        if not count:
            return "There is nothing to shorten."
        for key, value in dialogue.history.summary_changes().items():  # it replaces all older turns at once
            await self._context.state.set(key, value or "")
        for key in dialogue.history.stale:
            await self._context.state.delete(key)
        await asking.record_usage(1)
        return f"I have summarised {count} {'turn' if count == 1 else 'turns'} of our conversation."

    async def forget(self) -> None:
        """Forget what was learned about the models, and the parsed copy of the conversation."""
        self._correction, self._histories = Correction(), HistoryReader()

    def _asking(self, most: int, turn_id: str | None = None) -> Asking:
        return Asking(self._context, self._models, self._correction, Requests(most), turn_id)

    async def _dialogue(self, asking: Asking, tools: Toolbox | None = None) -> Dialogue:
        state = await self._context.state.items()
        dialogue = open_dialogue(asking, self._histories.read(state), state, tools)
        if dialogue.history.unreadable:
            count = dialogue.history.unreadable
            await asking.report(f"{count} parts of the conversation cannot be read, and are left out")
        return dialogue
