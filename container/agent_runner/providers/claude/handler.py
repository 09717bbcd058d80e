"""Takes turns. Claude Code keeps running while nothing changes, and goes on after a restart.

The session's state names the end of the last committed turn. Every start continues there, so a turn that was
interrupted leaves nothing in the conversation.
"""

from collections.abc import Awaitable, Callable, Container
from contextlib import suppress
from functools import partial
from pathlib import Path

import trio
from attrs import define, evolve, field, frozen
from claude_agent_sdk import ClaudeSDKError

from agent_runner.errors import ProviderError
from agent_runner.loop.asking import given_up
from agent_runner.loop.errors import Problem
from agent_runner.prompt import system_prompt
from agent_runner.providers.claude.archive import Archive
from agent_runner.providers.claude.conversation import Conversation
from agent_runner.providers.claude.launch import Launch
from agent_runner.providers.claude.memory import Memory, read_memory
from agent_runner.providers.claude.outcomes import Outcome
from agent_runner.providers.claude.saved import KEY, Saved, read_saved
from agent_runner.providers.claude.start import Starter
from agent_runner.providers.claude.talk import Talk, claude_errors, texts_of
from agent_runner.providers.claude.tools import TurnTools
from agent_runner.providers.context import ProviderContext
from agent_runner.providers.model_settings import ModelSettings
from agent_runner.providers.toolbox import SANDBOX_TOOLS, Toolbox
from agent_runner.records import Reply, Result, Turn
from agent_runner.sockets.forwarder import Forwarder
from agent_runner.trees import remove_tree

MODEL_KEY = "model"
"""The key of the state with the model that `/model` chose."""
FRESH = "(I could not go on with our conversation where it was, so I began a new one.)"
MAY_PASS_WHEN_FRESH = (Problem.HISTORY, Problem.TOO_LONG)
"""Problems that a new conversation may not have."""
PASSED_ON = (Problem.RETRY, Problem.QUOTA)
"""Problems that the fallback may not have."""
DOWN_S = 60.0
"""Seconds after which the first model is tried again."""
SPEAKS = ("", "claude", "anthropic")
"""Providers of a fallback that Claude Code can speak to."""
COUNTED = ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


Ask = Callable[[Conversation], Awaitable[Outcome]]
"""Asks the turn's messages in a conversation."""


@define(eq=False)
class ClaudeHandler:
    """Implements `agent_runner.providers.TurnHandler`, `Compacting` and `Forgetting`."""

    _context: ProviderContext
    _forwarder: Forwarder
    _tools: TurnTools = field(factory=TurnTools, init=False)
    _open: Conversation | None = field(default=None, init=False)
    _down_until: float = field(default=0.0, init=False)
    """The time on trio's clock at which the first model is tried again."""

    async def run(self, turn: Turn, tools: Toolbox, /) -> Result:
        """Take a turn."""
        try:
            async with trio.open_nursery() as nursery:
                self._tools.begin(nursery, tools)
                result = await self._take(turn, tools)
                nursery.cancel_scope.cancel()
        except BaseException:
            await self._drop()
            raise
        finally:
            self._tools.end()
        return result

    async def compact(self) -> str:
        """Have Claude Code shorten the conversation."""
        context = self._context
        saved = read_saved(await context.state.get(KEY))
        if saved.position is None:
            return "There is nothing to shorten yet."
        launch = Launch(system_prompt="", model=await self._model(), home=self._home, sandboxed=False)
        try:
            with claude_errors():
                conversation, _ = await self._connect(self._open.launch if self._open else launch, saved)
                outcome = await conversation.command("/compact")
        except BaseException:
            await self._drop()
            raise
        if outcome.error:
            await self._drop()
            raise given_up(outcome.error, context.clock.now())
        after = Saved(conversation.position, saved.seen).to_text()
        if after:
            await context.state.set(KEY, after)
        return "I shortened our conversation to its summary."

    async def forget(self) -> None:
        """Delete the conversations that Claude Code keeps."""
        await self._drop()
        with suppress(OSError):  # there are none yet
            remove_tree(self._home / ".claude" / "projects")

    async def aclose(self) -> None:
        """End Claude Code."""
        if self._open:
            conversation, self._open = self._open, None
            await conversation.aclose()

    async def _drop(self) -> None:
        """Kill Claude Code."""
        if self._open:
            conversation, self._open = self._open, None
            await conversation.abort()

    @property
    def _home(self) -> Path:
        return self._context.outbound / "claude"

    # -- a turn ----------------------------------------------------------------

    async def _take(self, turn: Turn, tools: Toolbox) -> Result:
        state = await self._context.state.items()
        saved, memory = read_saved(state.get(KEY)), read_memory(state)
        launch = await self._launch(turn, tools)
        talk = Talk(self._context, turn, tools)
        ask = partial(self._ask, talk, memory, saved)
        tried = await self._ask_models(launch, saved, ask)
        if self._has(tried.outcome, (Problem.NO_FILES,)):
            talk.shows_files = False
            tried = await self._ask_models(launch, saved, ask)
        if tried.outcome.error:
            raise given_up(tried.outcome.error, self._context.clock.now())
        replies = await talk.replies(tried.conversation, tried.outcome)
        await self._record_usage(tried.conversation, turn)
        said_once = [Reply(FRESH)] if tried.fresh else []
        answer = "\n\n".join(texts_of(tried.outcome))
        changes = {
            **memory.with_turn(self._context, talk.text, talk.messages, answer),
            KEY: Saved(tried.conversation.position, memory.last_key).to_text(),
        }
        return Result((*said_once, *replies), talk.consumed, changes)

    async def _ask(self, talk: Talk, memory: Memory, saved: Saved, conversation: Conversation) -> Outcome:
        """Ask in a conversation. Tell a new one everything, and a continued one what it has missed."""
        return await talk.ask(conversation, memory.note(saved.seen if conversation.position else ""))

    async def _ask_models(self, launch: Launch, saved: Saved, ask: Ask) -> "_Tried":
        """Ask the model, and its fallback if it is down and no tool was called yet."""
        first, *others = self._models(launch.model)
        tried = await self._try(evolve(launch, model=first), saved, ask)
        for model in others:
            if self._has(tried.outcome, PASSED_ON):
                self._down_until = trio.current_time() + DOWN_S
                tried = await self._try(evolve(launch, model=model), saved, ask)
        return tried

    def _has(self, outcome: Outcome, problems: Container[Problem]) -> bool:
        """Return True for such a problem, if the turn can still be repeated: it has called no tool."""
        return outcome.error is not None and outcome.error.problem in problems and not self._tools.used

    def _models(self, first: ModelSettings) -> tuple[ModelSettings, ...]:
        second = first.fallback
        if second is None or second.provider not in SPEAKS:
            return (first,)
        return (second,) if trio.current_time() < self._down_until else (first, second)

    async def _try(self, launch: Launch, saved: Saved, ask: Ask) -> "_Tried":
        """Ask one model. If it refuses the conversation, ask it once more in a new one."""
        conversation, fresh = await self._connect(launch, saved)
        outcome = await ask(conversation)
        if saved.position and not fresh and self._has(outcome, MAY_PASS_WHEN_FRESH):
            conversation, fresh = await self._begin(launch), True
            outcome = await ask(conversation)
        return _Tried(conversation, outcome, fresh)

    async def _connect(self, launch: Launch, saved: Saved) -> tuple[Conversation, bool]:
        """Return the saved conversation, and False; or a new one, and True, if it cannot be continued."""
        if self._open and self._open.launch == launch and self._open.position == saved.position:
            return self._open, False
        if saved.position is None:
            return await self._begin(launch), False
        await self.aclose()
        try:
            self._open = await self._starter.start(launch, saved.position)
        except ClaudeSDKError as error:
            await self._context.events.record("error", {"reason": f"the conversation is lost: {error}"[:500]})
            return await self._begin(launch), True
        return self._open, False

    async def _begin(self, launch: Launch) -> Conversation:
        """Begin a new conversation. Raises ProviderError."""
        await self.aclose()
        try:
            self._open = await self._starter.start(launch, None)
        except (ClaudeSDKError, OSError) as error:
            raise ProviderError(f"Claude Code cannot start: {error}") from error
        return self._open

    @property
    def _starter(self) -> Starter:
        context = self._context
        archive = Archive(context.workspace, context.clock)
        return Starter(self._forwarder, self._tools, archive, context.workspace)

    async def _launch(self, turn: Turn, tools: Toolbox) -> Launch:
        context = self._context
        return Launch(
            system_prompt=await system_prompt(context, turn),
            tools=tuple(spec for spec in tools.specs if spec.name not in SANDBOX_TOOLS),
            model=await self._model(),
            home=self._home,
            sandboxed=context.sandboxed,
            timezone=turn.timezone,
            tools_socket=context.tools_socket if context.sandboxed else None,
            mcp_servers=context.mcp_servers,
        )

    async def _model(self) -> ModelSettings:
        """Return the model to ask: that of `/model`, else the configured one."""
        chosen = await self._context.state.get(MODEL_KEY)
        return evolve(self._context.model, name=chosen) if chosen else self._context.model

    async def _record_usage(self, conversation: Conversation, turn: Turn) -> None:
        counted = {name: value for name, value in conversation.usage.items() if name in COUNTED}
        model = conversation.launch.model.name
        data = {"provider": "claude", "model": model, **counted}
        await self._context.events.record("usage", data, turn_id=turn.turn_id)


@frozen
class _Tried:
    """An attempt with one model."""

    conversation: Conversation
    outcome: Outcome
    fresh: bool
    """True if the conversation is a new one, because the saved one cannot be continued."""
