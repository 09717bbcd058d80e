"""The conversation with a model during one turn: it builds each request, and makes it fit the model."""

from collections import Counter
from collections.abc import Mapping, Sequence

from attrs import define, evolve, field

from agent_runner.loop import compaction
from agent_runner.loop.asking import Asking
from agent_runner.loop.client import ModelReply, ModelRequest
from agent_runner.loop.conversation import Message, joined
from agent_runner.loop.errors import ModelError, Problem
from agent_runner.loop.gallery import Gallery
from agent_runner.loop.history import History, PastTurn, StateChanges, shortened
from agent_runner.loop.learned import Learned, read_learned
from agent_runner.loop.models import Model
from agent_runner.loop.tokens import Room, room, tokens_of_request
from agent_runner.providers import Toolbox

MODEL_KEY = "model"
"""The key of the session's state with the model that users chose."""
SHORTER = (20_000, 4_000, 1_000, 200)
"""Lengths to which the texts of a turn are cut, one after the other, until a request fits."""
TOO_LONG_TRIES = 3
FILE_TRIES = 2
"""The first model and its fallback may each refuse files."""
LEAST_CONTEXT = 1000
STARTED_FRESH = "(I could not go on with our earlier conversation, so I started afresh.)"


@define(eq=False)
class Dialogue:
    """The session's conversation while a model works on it."""

    _asking: Asking
    history: History
    learned: Learned
    _chosen: str = ""
    """The model that users chose for this session, in place of the first model's name."""
    tools: Toolbox | None = None
    """The tools that the model may call."""
    system: str = ""
    """The system prompt."""
    current: list[Message] = field(factory=list)
    """The messages of the running turn."""
    notes: list[str] = field(factory=list, init=False)
    """What users are told besides the answer."""
    _gallery: Gallery = field(init=False)
    _recovered: Counter[Problem] = field(factory=Counter, init=False)

    def __attrs_post_init__(self) -> None:
        """Open the gallery of the session."""
        self._gallery = Gallery(self._asking.context)

    async def ask(self, *, may_call: bool = True) -> ModelReply:
        """Ask the model about the conversation so far. Raises ProviderError, ProviderFatal."""
        return await self._asking.ask(lambda model: self._fitting(model, may_call=may_call), self._recover)

    def changes(self) -> StateChanges:
        """Return the changes of the session's state that the turn makes."""
        return {
            **self.history.summary_changes(),
            **(self.learned.change() if self.learned != Learned() else {}),
            **self.history.after_turn(self.current),
        }

    # -- requests ------------------------------------------------------------------

    def _name(self, model: Model) -> str:
        return model.settings.name if model.is_fallback else self._chosen or model.settings.name

    def room(self, model: Model) -> Room:
        """Return the sizes of a model."""
        name, settings = self._name(model), model.settings
        return room(name, settings.max_tokens, settings.context_tokens, self.learned.contexts.get(name, 0))

    def _request(self, model: Model, *, may_call: bool = True) -> ModelRequest:
        name, past = self._name(model), self._past()
        recent = len(past) - (len(self.history.turns[-1].messages) if self.history.turns else 0)
        allowed = name not in self.learned.no_files and not self._recovered[Problem.NO_FILES]
        shown = self._gallery.show([*past, *self.current], recent=recent, allowed=allowed)
        return ModelRequest(
            model=name,
            system=self.system,
            messages=joined(shown),
            tools=self.tools.specs if self.tools else (),
            may_call=may_call,
            max_tokens=self.room(model).output,
            settled=len(joined(past)),
        )

    def _past(self) -> Sequence[Message]:
        summary = self.history.summary
        past = [message for turn in self.history.turns for message in turn.messages]
        return [compaction.introduced(summary), *past] if summary else past

    # -- making it fit -------------------------------------------------------------

    async def _fitting(self, model: Model, *, may_call: bool) -> ModelRequest:
        """Return the next request, after the conversation is shortened if it is too long."""
        request = self._request(model, may_call=may_call)
        if self._fits(model, request):
            return request
        await self.compact(model)
        for most in SHORTER:
            request = self._request(model, may_call=may_call)
            if self._fits(model, request):
                break
            self.current = [shortened(message, most) for message in self.current]
        return self._request(model, may_call=may_call)

    def _fits(self, model: Model, request: ModelRequest) -> bool:
        return self._asking.correction.of(tokens_of_request(request)) <= self.room(model).input

    async def compact(self, model: Model, part: float = compaction.KEPT) -> int:
        """Replace older turns by a summary, and archive them. Return their number. Raises ModelError.

        `part` is the part of the room that the newest turns may keep.
        """
        turns, space = self.history.turns, self.room(model)
        gone = turns[: len(turns) - compaction.turns_to_keep(self.history, space, part)]
        if not any(turn.messages for turn in gone):
            return 0
        summary = await self._summary(model, compaction.summary_request(self._name(model), gone, space))
        await self._archive(gone)
        self.history = self.history.compacted(len(turns) - len(gone), summary)
        return len(gone)

    async def _summary(self, model: Model, request: ModelRequest) -> str:
        try:
            reply = await self._asking.once(model, request, self._alive)
        except ModelError as error:
            if error.problem not in {Problem.TOO_LONG, Problem.HISTORY}:
                raise
            await self._asking.report(f"there is no summary, because of: {error.reason}")
            return compaction.NO_SUMMARY
        return reply.text.strip() or compaction.NO_SUMMARY

    def _alive(self, _text: str) -> None:
        if self.tools is not None:
            self.tools.alive()

    async def _archive(self, gone: Sequence[PastTurn]) -> None:
        context = self._asking.context
        try:
            compaction.archive(context.workspace, gone, context.clock.now().date())
        except OSError as error:
            await self._asking.report(f"a transcript cannot be archived: {error}")

    # -- errors --------------------------------------------------------------------

    async def _recover(self, model: Model, error: ModelError) -> bool:
        """Change the next request so that it may succeed. Return False if nothing can be done."""
        self._recovered[error.problem] += 1
        tries = self._recovered[error.problem]
        match error.problem:
            case Problem.NO_FILES if tries <= FILE_TRIES:
                self._hide_files(model, error)
            case Problem.HISTORY if tries == 1 and self.history.turns:
                self.notes.append(STARTED_FRESH)
                await self._start_fresh()
            case Problem.TOO_LONG if tries <= TOO_LONG_TRIES:
                await self._make_room(model, error, last=tries == TOO_LONG_TRIES)
            case _:
                return False
        await self._asking.report(f"the request is changed, because of: {error.reason}")
        return True

    def _hide_files(self, model: Model, error: ModelError) -> None:
        """Show no files for the rest of the turn; from then on, if the model takes none at all."""
        if error.is_lasting:
            names = self.learned.no_files | {self._name(model)}
            self.learned = evolve(self.learned, no_files=names)

    async def _start_fresh(self) -> None:
        if self.history.turns:
            await self._archive(self.history.turns)
        self.history = self.history.forgotten()

    async def _make_room(self, model: Model, error: ModelError, *, last: bool) -> None:
        """Learn that the context is smaller than assumed. The last time, forget the conversation."""
        assumed = self.room(model).context
        sent = self._asking.correction.of(tokens_of_request(self._request(model)))
        said = error.context_tokens
        learned = said if 0 < said < assumed else int(min(assumed, sent) * 0.7)
        contexts = {**self.learned.contexts, self._name(model): max(learned, LEAST_CONTEXT)}
        self.learned = evolve(self.learned, contexts=contexts)
        if last:
            await self._start_fresh()
            self.current = [shortened(message, SHORTER[-2]) for message in self.current]


def open_dialogue(
    asking: Asking, history: History, state: Mapping[str, str], tools: Toolbox | None = None
) -> Dialogue:
    """Return the conversation of a session, with what else its state holds. It never fails."""
    return Dialogue(asking, history, read_learned(state), state.get(MODEL_KEY, "").strip()[:200], tools)
