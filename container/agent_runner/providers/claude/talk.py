"""One turn's talk with Claude Code: the question, follow-ups, and what becomes of the answer."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from uuid import NAMESPACE_OID, uuid5

import trio
from attrs import define, field
from claude_agent_sdk import ClaudeSDKError

from agent_runner.background import background
from agent_runner.errors import ProviderError
from agent_runner.foreign import describe
from agent_runner.prompt import read_output, render_follow_ups, render_turn, visible_draft
from agent_runner.providers.claude.blocks import blocks
from agent_runner.providers.claude.conversation import Content, Conversation
from agent_runner.providers.claude.outcomes import Outcome
from agent_runner.providers.context import ProviderContext
from agent_runner.providers.toolbox import Toolbox
from agent_runner.records import Inbound, Reply, Turn

DRAFT_EVERY_S = 0.03
OUT_OF_STEPS = "I stopped here: this takes more steps than I may take at once. Ask me to go on."


@define(eq=False)
class Talk:
    """A turn, and the follow-ups that it has taken."""

    _context: ProviderContext
    _turn: Turn
    _toolbox: Toolbox
    shows_files: bool = field(default=True, init=False)
    """False after the model has refused the pictures or PDFs of the turn. Their paths are in the text."""
    _next_draft: float = field(default=0.0, init=False)
    _taken: list[Inbound] = field(factory=list, init=False)
    """Follow-ups that the model was shown. A second attempt gets them with the turn's own messages."""

    @property
    def consumed(self) -> tuple[str, ...]:
        """The ids of the follow-ups that the model has seen."""
        return tuple(message.id for message in self._taken)

    @property
    def messages(self) -> Sequence[Inbound]:
        """All messages that the model was shown."""
        return [*self._turn.messages, *self._taken]

    @property
    def text(self) -> str:
        """All messages that the model was shown, as it reads them."""
        more = render_follow_ups(self._turn, self._taken) if self._taken else ""
        return "\n\n".join(filter(None, [render_turn(self._turn), more]))

    async def ask(self, conversation: Conversation, note: str) -> Outcome:
        """Ask the turn's messages, with a note before them. Raises ProviderError."""
        text = "\n\n".join(filter(None, [note, self.text]))
        content = blocks(self._context, text, self.messages if self.shows_files else ())
        with claude_errors():
            async with background(partial(self._follow, conversation)):
                return await self._send(conversation, content)

    async def _send(self, conversation: Conversation, content: Content) -> Outcome:
        return await conversation.ask(self._id(), content, self._toolbox.alive, self._draft)

    async def _follow(self, conversation: Conversation) -> None:
        """Pass follow-ups on while the model works. The next turn gets those that come too late."""
        while True:
            arrived = await self._toolbox.follow_ups()
            text = render_follow_ups(self._turn, arrived)
            content = blocks(self._context, text, arrived if self.shows_files else ())
            if not await conversation.add(self._id(), content):
                return
            self._taken.extend(arrived)

    def _id(self) -> str:
        return str(uuid5(NAMESPACE_OID, self._context.new_id("ask")))

    def _draft(self, text: str) -> None:
        now = trio.current_time()
        if now >= self._next_draft:
            self._next_draft = now + DRAFT_EVERY_S
            self._toolbox.draft(visible_draft(text))

    async def replies(self, conversation: Conversation, outcome: Outcome) -> Sequence[Reply]:
        """Return the answer's texts by destination. Unknown names are told to the model, once."""
        outputs = [read_output(text, self._turn) for text in texts_of(outcome)]
        unknown = [name for output in outputs for name in output.unknown]
        if unknown:
            with claude_errors():
                again = await self._send(conversation, [{"type": "text", "text": self._about(unknown)}])
            outputs.append(read_output("" if again.error else again.text, self._turn))
        return [reply for output in outputs for reply in output.replies]

    def _about(self, unknown: Sequence[str]) -> str:
        known = ", ".join(destination.name for destination in self._turn.destinations) or "none"
        return (
            f"<system>These destinations do not exist: {', '.join(unknown)}. Those texts were not sent. "
            f"There are: {known}. Your other texts are sent. Answer with what is still to send, or with "
            "nothing.</system>"
        )


def texts_of(outcome: Outcome) -> Sequence[str]:
    """Return the texts of an answer."""
    last = outcome.text or (OUT_OF_STEPS if outcome.out_of_steps else "")
    return [*outcome.earlier, last]


@contextmanager
def claude_errors() -> Iterator[None]:
    """Raise errors of Claude Code and its SDK as ProviderError: the next turn starts it again."""
    try:
        yield
    except (ClaudeSDKError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
        raise ProviderError(f"Claude Code failed: {describe(error)}") from error
