"""One conversation with a running Claude Code: messages to it, and what it reports."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import trio
from attrs import Factory, define, evolve, field
from claude_agent_sdk import (
    AssistantMessage,
    ClaudeSDKClient,
    Message,
    ResultMessage,
    StreamEvent,
    SystemMessage,
    TextBlock,
    UserMessage,
)

from agent_runner.errors import ProviderError
from agent_runner.providers.claude.launch import Launch, Position
from agent_runner.providers.claude.outcomes import Outcome, failed, too_long, wants_pause
from agent_runner.providers.claude.program import Program

Content = Sequence[Mapping[str, Any]]
"""Blocks of a message, in the form of Anthropic's API."""
MOST_WAITING = 50
LONGEST_RETRY_PAUSE_MS = 10_000
"""A server that wants a longer pause gets it between turns, not within one."""
LONGEST_PAUSE = 3600.0
"""Seconds. A server that asks for more is asked again after this time."""


@define(eq=False)
class _Heard:
    """What Claude Code has said since the last question."""

    to_files: bool = False
    """True if the last question showed files."""
    said: str = ""
    error: str | None = None
    draft: str = ""


@define(eq=False)
class Conversation:
    """A process of Claude Code that is connected."""

    launch: Launch
    client: ClaudeSDKClient
    program: Program
    position: Position | None
    """Where it began; then the end of what it has said and heard."""
    usage: Mapping[str, Any] = field(factory=dict)
    """The tokens of the last turn, as Claude Code reports them."""
    _messages: AsyncIterator[Message] = field(
        init=False, default=Factory(lambda self: self.client.receive_messages(), takes_self=True)
    )
    """One iterator for all turns: a generator of the SDK that is left in the middle cannot be closed."""
    _last: str = ""
    """The id of the last entry of the transcript."""
    _waiting: set[str] = field(factory=set)
    """The ids of follow-ups that the model has not seen yet."""
    _takes_more: bool = False
    _heard: _Heard = Factory(_Heard)

    async def ask(
        self, id_: str, content: Content, alive: Callable[[], None], draft: Callable[[str], None]
    ) -> Outcome:
        """Send a message of this id, a UUID, as a user, and return what came of it. Raises SDK errors."""
        self._begin(to_files=any(block["type"] != "text" for block in content))
        await self.client.query(_One([_user_message(content, id_)]))
        return await self._until_result(alive, draft)

    async def add(self, id_: str, content: Content) -> bool:
        """Send a follow-up into the turn that runs. Return False if the turn has ended, or has had enough."""
        if not self._takes_more or len(self._waiting) >= MOST_WAITING:
            return False
        self._waiting.add(id_)
        await self.client.query(_One([_user_message(content, id_)]))
        return True

    async def command(self, text: str) -> Outcome:
        """Run one of Claude Code's own commands, such as `/compact`."""
        self._begin(to_files=self._heard.to_files)
        await self.client.query(text)
        return await self._until_result(lambda: None, lambda _: None)

    async def _until_result(self, alive: Callable[[], None], draft: Callable[[str], None]) -> Outcome:
        """Read until everything that was sent has been taken in and answered."""
        self._takes_more = True
        answers: list[str] = []
        async for message in self._messages:
            alive()
            self._note(message, draft)
            if (pause := _wanted_pause(message)) is not None:
                return wants_pause(pause)
            if not isinstance(message, ResultMessage):
                continue
            outcome = self._outcome(message)
            if outcome.error or outcome.out_of_steps or not self._waiting:
                self._takes_more = False
                return evolve(outcome, earlier=tuple(answers))
            answers.append(outcome.text)
        raise ProviderError(f"Claude Code ended without an answer: {self.program.last_words()}")

    def _begin(self, *, to_files: bool) -> None:
        self._heard = _Heard(to_files)
        self._waiting.clear()

    def _note(self, message: Message, draft: Callable[[str], None]) -> None:
        if getattr(message, "parent_tool_use_id", None):
            return  # of a task inside the turn
        match message:
            case StreamEvent():
                self._stream(message.event, draft)
            case AssistantMessage():
                self._entry(message.uuid)
                self._heard.error = message.error or self._heard.error
                texts = [block.text for block in message.content if isinstance(block, TextBlock)]
                self._heard.said = "\n\n".join(texts) or self._heard.said
            case UserMessage():
                self._entry(message.uuid)
            case _:
                pass

    def _entry(self, uuid: str | None) -> None:
        self._last = uuid or self._last

    def _stream(self, event: Mapping[str, Any], draft: Callable[[str], None]) -> None:
        match event:
            case {"type": "message_start"}:
                self._heard.draft = ""
            case {"type": "content_block_delta", "delta": {"type": "text_delta", "text": str(text)}}:
                self._heard.draft += text
                draft(self._heard.draft)

    def _outcome(self, result: ResultMessage) -> Outcome:
        self.usage = result.usage or {}
        if self._last:
            self.position = Position(result.session_id, self._last)
        self._waiting.difference_update(result.user_message_uuids or self._waiting)
        if result.subtype == "error_max_turns":
            return Outcome(self._heard.said, out_of_steps=True)
        if not result.is_error:
            return Outcome(result.result or "")
        text = result.result or "; ".join(result.errors or ()) or result.subtype
        if result.terminal_reason == "prompt_too_long":
            return too_long(text)
        return failed(result.api_error_status, self._heard.error, text, has_files=self._heard.to_files)

    async def aclose(self) -> None:
        """End the program. Nothing of it is left."""
        with trio.CancelScope(shield=True):
            await self.client.disconnect()
            with suppress(Exception):
                await anext(self._messages)  # the stream is closed, which ends the SDK's generators

    async def abort(self) -> None:
        """Kill the program at once."""
        self.program.kill()
        await self.aclose()


def _wanted_pause(message: Message) -> float | None:
    """Return the pause before a retry in seconds, if it is too long to wait for it within the turn."""
    match message:
        case SystemMessage(subtype="api_retry", data={"retry_delay_ms": int() | float() as pause}) if (
            pause > LONGEST_RETRY_PAUSE_MS
        ):
            return min(pause / 1000, LONGEST_PAUSE)
        case _:
            return None


def _user_message(content: Content, id_: str) -> dict[str, Any]:
    """Return a message that is taken as it is: `client_composed` turns commands and `@file` off."""
    return {
        "type": "user",
        "uuid": id_,
        "message": {"role": "user", "content": list(content)},
        "parent_tool_use_id": None,
        "client_composed": True,
    }


@define(eq=False)
class _One:
    """An iterator over one message. It is not a generator, which a cancellation would leave open."""

    _left: list[dict[str, Any]]

    def __aiter__(self) -> "_One":
        return self

    async def __anext__(self) -> dict[str, Any]:
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop()
