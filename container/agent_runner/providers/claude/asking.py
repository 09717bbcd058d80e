"""One turn's talk with Claude Code: the question, follow-ups, and what becomes of the answer."""

from collections.abc import Sequence
from uuid import NAMESPACE_OID, uuid5

import trio
from attrs import define, field
from claude_agent_sdk import ClaudeSDKError

from agent_runner.errors import ProviderError
from agent_runner.foreign import describe
from agent_runner.prompt import read_output, render_follow_ups, render_turn, visible_draft
from agent_runner.providers.claude.blocks import blocks
from agent_runner.providers.claude.conversation import Conversation
from agent_runner.providers.claude.outcomes import Outcome
from agent_runner.providers.context import ProviderContext
from agent_runner.providers.toolbox import Toolbox
from agent_runner.records import Inbound, Reply, Turn

OUT_OF_STEPS = "I stopped here: this takes more steps than I may take at once. Ask me to go on."


@define(eq=False)
class Asking:
    """A turn, and the follow-ups that it has taken."""

    _context: ProviderContext
    _turn: Turn
    _toolbox: Toolbox
    note: str = ""
    """What to say before the turn's messages."""
    _arrived: list[Inbound] = field(factory=list, init=False)
    """Follow-ups that were claimed. A new conversation gets them with the turn's own messages."""
    _shown: list[str] = field(factory=list, init=False)

    @property
    def consumed(self) -> tuple[str, ...]:
        """The ids of the follow-ups that the model has seen."""
        return tuple(self._shown)

    @property
    def text(self) -> str:
        """The turn's messages as text."""
        return render_turn(self._turn)

    async def ask(self, conversation: Conversation) -> Outcome:
        """Ask the turn's messages and the follow-ups so far. Raises ProviderError."""
        parts = [self.note, self.text]
        if self._arrived:
            parts.append(render_follow_ups(self._turn, self._arrived))
        messages = [*self._turn.messages, *self._arrived]
        self._shown = [message.id for message in self._arrived]
        content = blocks(self._context, "\n\n".join(filter(None, parts)), messages)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._follow, conversation)
                outcome = await conversation.ask(self._id(), content, self._toolbox.alive, self._draft)
                nursery.cancel_scope.cancel()
        except* ClaudeSDKError as group:
            raise ProviderError(f"Claude Code failed: {describe(group)}") from group
        return outcome

    async def _follow(self, conversation: Conversation) -> None:
        """Pass follow-ups on while the model works. The next turn gets those that come too late."""
        while True:
            arrived = await self._toolbox.follow_ups()
            content = blocks(self._context, render_follow_ups(self._turn, arrived), arrived)
            if not await conversation.add(self._id(), content):
                return
            self._arrived.extend(arrived)
            self._shown.extend(message.id for message in arrived)

    def _id(self) -> str:
        return str(uuid5(NAMESPACE_OID, self._context.new_id("ask")))

    def _draft(self, text: str) -> None:
        self._toolbox.draft(visible_draft(text))

    async def replies(self, conversation: Conversation, outcome: Outcome) -> Sequence[Reply]:
        """Return the answer's texts by destination. Unknown names are told to the model, once."""
        texts = [*outcome.earlier, outcome.text or (OUT_OF_STEPS if outcome.kind == "steps" else "")]
        outputs = [read_output(text, self._turn) for text in texts]
        replies = [reply for output in outputs for reply in output.replies]
        unknown = [name for output in outputs for name in output.unknown]
        if not unknown:
            return replies
        content = [{"type": "text", "text": self._about(unknown)}]
        again = await conversation.ask(self._id(), content, self._toolbox.alive, lambda _: None)
        if again.kind == "answer":
            replies.extend(read_output(again.text, self._turn).replies)
        return replies

    def _about(self, unknown: Sequence[str]) -> str:
        known = ", ".join(destination.name for destination in self._turn.destinations) or "none"
        return (
            f"<system>These destinations do not exist: {', '.join(unknown)}. Those texts were not sent. "
            f"There are: {known}. Your other texts are sent. Answer with what is still to send, or with "
            "nothing.</system>"
        )
