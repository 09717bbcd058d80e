"""Takes turns. Claude Code keeps running while nothing changes, and goes on after a restart.

The session's state names the end of the last committed turn. Every start continues there, so a turn that was
interrupted leaves nothing in the conversation.
"""

from pathlib import Path
from shutil import rmtree

import trio
from attrs import define, evolve, field, frozen
from claude_agent_sdk import ClaudeSDKError

from agent_runner.errors import ProviderError
from agent_runner.forwarder import Forwarder
from agent_runner.prompt import system_prompt
from agent_runner.providers.claude.archive import Archive
from agent_runner.providers.claude.asking import Asking
from agent_runner.providers.claude.conversation import Conversation
from agent_runner.providers.claude.launch import Launch
from agent_runner.providers.claude.outcomes import Outcome, as_error
from agent_runner.providers.claude.saved import KEY, Saved, read_saved
from agent_runner.providers.claude.start import Starter
from agent_runner.providers.claude.tools import TurnTools
from agent_runner.providers.context import ProviderContext
from agent_runner.providers.model_settings import ModelSettings
from agent_runner.providers.toolbox import Toolbox
from agent_runner.records import Reply, Result, Turn

MODEL_KEY = "model"
"""The key of the state with the model that `/model` chose."""
FRESH = "(I could not go on with our conversation where it was, so I began a new one.)"
MAY_PASS_WHEN_FRESH = ("invalid", "too long")
PASSED_ON = ("down", "quota")
"""Errors after which the fallback is asked."""
DOWN_S = 60.0
"""Seconds after which the first model is tried again."""
SPEAKS = ("", "claude", "anthropic")
"""Providers of a fallback that Claude Code can speak to."""
COUNTED = ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


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
        saved = read_saved(await self._context.state.get(KEY))
        if saved.position is None:
            return "There is nothing to shorten yet."
        if self._open is None or self._open.position != saved.position:
            raise ProviderError("Claude Code is not running; write something first, then ask again")
        try:
            outcome = await self._open.command("/compact")
        except BaseException:
            await self._drop()
            raise
        if outcome.kind != "answer":
            await self._drop()
            raise as_error(outcome, self._context.clock.now())
        after = evolve(saved, position=self._open.position).to_text()
        if after:
            await self._context.state.set(KEY, after)
        return "I shortened our conversation to its summary."

    async def forget(self) -> None:
        """Delete the conversations that Claude Code keeps."""
        await self._drop()
        rmtree(self._home / ".claude" / "projects", ignore_errors=True)

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
        saved = read_saved(await self._context.state.get(KEY))
        launch = await self._launch(turn, tools)
        asking = Asking(self._context, turn, tools)
        tried = await self._ask_models(launch, saved, asking)
        if tried.outcome.kind not in ("answer", "steps"):
            raise as_error(tried.outcome, self._context.clock.now())
        replies = await asking.replies(tried.conversation, tried.outcome)
        await self._record_usage(tried.conversation, turn)
        said_once = [Reply(FRESH)] if tried.fresh else []
        state = {KEY: Saved(tried.conversation.position).to_text()}
        return Result((*said_once, *replies), asking.consumed, state)

    async def _ask_models(self, launch: Launch, saved: Saved, asking: Asking) -> "_Tried":
        """Ask the model, and its fallback if it is down and no tool was called yet."""
        first, *others = self._models(launch.model)
        tried = await self._try(evolve(launch, model=first), saved, asking)
        for model in others:
            if tried.outcome.kind in PASSED_ON and not self._tools.used:
                self._down_until = trio.current_time() + DOWN_S
                tried = await self._try(evolve(launch, model=model), saved, asking)
        return tried

    def _models(self, first: ModelSettings) -> tuple[ModelSettings, ...]:
        second = first.fallback
        if second is None or second.provider not in SPEAKS:
            return (first,)
        return (second,) if trio.current_time() < self._down_until else (first, second)

    async def _try(self, launch: Launch, saved: Saved, asking: Asking) -> "_Tried":
        """Ask one model. If it refuses the conversation, ask it once more in a new one."""
        conversation, fresh = await self._connect(launch, saved)
        outcome = await asking.ask(conversation)
        if outcome.kind in MAY_PASS_WHEN_FRESH and saved.position and not fresh and not self._tools.used:
            conversation, fresh = await self._begin(launch), True
            outcome = await asking.ask(conversation)
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
        archive = Archive(context.workspace / "conversations", context.clock)
        return Starter(self._forwarder, self._tools, archive, context.workspace)

    async def _launch(self, turn: Turn, tools: Toolbox) -> Launch:
        context = self._context
        chosen = await context.state.get(MODEL_KEY)
        return Launch(
            system_prompt=await system_prompt(context, turn),
            tools=tuple(tools.specs),
            model=evolve(context.model, name=chosen) if chosen else context.model,
            home=self._home,
            sandboxed=context.sandboxed,
            timezone=turn.timezone,
            tools_socket=context.tools_socket if context.sandboxed else None,
        )

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
