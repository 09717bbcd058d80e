"""One turn of the agent loop: model, tools, follow-ups, until there is a final answer."""

from collections.abc import Sequence

import trio
from attrs import define, evolve, field

from agent_runner.background import background
from agent_runner.errors import ProviderError
from agent_runner.loop.client import ModelReply
from agent_runner.loop.conversation import Asked, FilePart, Said, asked, presentable
from agent_runner.loop.dialogue import Dialogue
from agent_runner.loop.gallery import files_of
from agent_runner.loop.tool_calls import ToolRun
from agent_runner.prompt import Output, read_output, render_follow_ups, render_turn, visible_draft
from agent_runner.providers import ProviderContext, Toolbox
from agent_runner.providers.toolbox import Showing
from agent_runner.records import Inbound, Reply, Result, Turn

DRAFT_EVERY_S = 0.03
CHARACTERS_A_S = 500_000
"""Long texts are shown less often, because each draft is read as a whole."""
CUT_OFF = "[cut off]"
NOTHING_YET = "[The answer was cut off before it began. Owner: raise [model] max_tokens.]"
DECLINED = "[The model declines to answer this.]"
SILENT = "<internal>nothing to say</internal>"
"""An empty answer in the conversation: some servers refuse an empty text."""
LAST_CHANCE = (
    "You have taken all the steps that a turn may have. Answer now with what you have, without tools."
)
FILES = "These are the files that your tools have read:"
ENDED_EARLY = "I have stopped after {steps} steps, and have no answer yet. Ask me to go on if I should."


@define(eq=False)
class TurnRun:
    """Runs one turn."""

    _context: ProviderContext
    _turn: Turn
    _tools: Toolbox
    _dialogue: Dialogue
    _max_steps: int
    steps: int = field(default=0, init=False)
    """The number of answers of the model so far."""
    _arrived: list[Inbound] = field(factory=list, init=False)
    """Follow-ups that the model has not been shown."""
    _consumed: list[str] = field(factory=list, init=False)
    _calls: int = field(default=0, init=False)

    async def run(self) -> Result:
        """Return the outcome. Raises ProviderError, ProviderFatal."""
        async with background(self._collect_follow_ups):
            return await self._answer()

    async def _collect_follow_ups(self) -> None:
        while True:
            self._arrived.extend(await self._tools.follow_ups())

    async def _answer(self) -> Result:
        run = ToolRun(self._tools, self._turn, list(self._turn.already_sent))
        corrected = False
        while self.steps < self._max_steps:
            reply = await self._step()
            if reply.calls:
                self._dialogue.current.append(await run.run(reply.calls))
                self._show_files()
                self._show_follow_ups()
                continue
            output = read_output(reply.text, self._turn)
            if not output.unknown or corrected:
                return await self._finished(reply, output)
            corrected = True
            self._dialogue.current.append(asked(_unknown_names(output.unknown, self._turn)))
        return await self._forced()

    async def _step(self) -> ModelReply:
        """Ask the model, and add its answer to the conversation. Its calls get ids of our own."""
        reply = await self._dialogue.ask()
        self.steps += 1
        calls = [evolve(call, id=self._call_id()) for call in reply.calls]
        said = Said(reply.text if calls or reply.text.strip() else SILENT, tuple(calls))
        self._dialogue.current.append(presentable(said))
        return evolve(reply, calls=tuple(calls))

    def _call_id(self) -> str:
        """Return an id that all APIs accept, whichever made the call."""
        self._calls += 1
        return f"call_{self._dialogue.history.last + 1}_{self._calls}"

    def _show_files(self) -> None:
        """Show the pictures and PDFs that the tools have read."""
        shown = self._tools.take_shown() if isinstance(self._tools, Showing) else ()
        if shown:
            files = (FilePart(each.name, each.path, each.media_type) for each in shown)
            self._dialogue.current.append(asked(FILES, *files))

    def _show_follow_ups(self) -> None:
        rows, self._arrived = self._arrived, []
        if rows:
            files = files_of(self._context, rows)
            self._dialogue.current.append(asked(render_follow_ups(self._turn, rows), *files))
            self._consumed += [row.id for row in rows]

    async def _forced(self) -> Result:
        """Ask for a final answer without tools. If there is none, say how far the turn came."""
        self._dialogue.current.append(asked(LAST_CHANCE))
        try:
            reply = await self._dialogue.ask(may_call=False)
        except ProviderError:
            reply = ModelReply()
        text = reply.text if reply.text.strip() else ENDED_EARLY.format(steps=self.steps)
        self._dialogue.current.append(Said(text))
        return await self._finished(evolve(reply, text=text), read_output(text, self._turn))

    async def _finished(self, reply: ModelReply, output: Output) -> Result:
        for name in output.unknown:
            data = {"reason": f"a text was for the destination {name!r:.80}, which does not exist"}
            await self._context.events.record("error", data, turn_id=self._turn.turn_id)
        notes = [Reply(note) for note in self._dialogue.notes]
        replies = [_answering(each, self._turn) for each in (*notes, *_ended(reply, output.replies))]
        return Result(tuple(replies), tuple(self._consumed), self._dialogue.changes())


def _ended(reply: ModelReply, replies: Sequence[Reply]) -> Sequence[Reply]:
    """Return the texts of an answer, with a note if it was cut off or refused."""
    if reply.stop == "length" and replies:
        return [*replies[:-1], evolve(replies[-1], text=f"{replies[-1].text}\n\n{CUT_OFF}")]
    if reply.stop == "end" or replies:
        return replies
    return [Reply(NOTHING_YET if reply.stop == "length" else DECLINED)]


def _answering(reply: Reply, turn: Turn) -> Reply:
    """Return a reply that names the message that it answers, if it names nothing else."""
    if reply.to is not None or reply.in_reply_to is not None:
        return reply
    at_home = [message for message in turn.messages if message.address == turn.home]
    return evolve(reply, in_reply_to=(at_home or turn.messages)[-1].id)


def _unknown_names(names: Sequence[str], turn: Turn) -> str:
    known = ", ".join(destination.name for destination in turn.destinations) or "none"
    return (
        f"Nothing was sent, because there is no destination {', '.join(names)}. "
        f"The destinations are: {known}. Write your whole answer again."
    )


@define(eq=False)
class DraftStream:
    """Passes the text of an answer on while it comes, and reports that the model's server is alive."""

    _tools: Toolbox
    _next: float = field(default=0.0, init=False)

    def __call__(self, text: str) -> None:
        """Take the text so far."""
        self._tools.alive()
        now = trio.current_time()
        if text and now >= self._next:
            self._next = now + DRAFT_EVERY_S + len(text) / CHARACTERS_A_S
            self._tools.draft(visible_draft(text))


def first_message(context: ProviderContext, turn: Turn) -> Asked:
    """Return the message that begins a turn."""
    return asked(render_turn(turn), *files_of(context, turn.messages))
