"""The model of simulated workloads, behind the real gateway and the real agent loop.

It follows the same commands in messages as `scripted_agent`, by tools: `#12 send slow=20` calls
`send_message`, lets the server think for 20 s, and is answered `re #12`. It knows only what a request says,
as a real model does; its server remembers how often it has failed. Some requests meet an error, a cut stream
or silence.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from random import Random
from typing import Any

from attrs import Factory, define, frozen

from nanoclaw.simulation.model_conversation import Conversation, read_conversation
from nanoclaw.simulation.model_programs import Calls, Program, Trouble, program_of
from nanoclaw.testing import ModelAnswer, ModelBreak, ModelFailure, ModelRequest, ModelUsage
from nanoclaw.testing.models import Reaction

KEY_VARIABLE = "NANOCLAW_SIMULATED_MODEL_KEY"
KEY = "sk-simulated-5b1f09c3e7"
"""The key of the model's server. No file of the world may have it."""
CONTEXT_TOKENS = 16_000
CHARACTERS_A_TOKEN = 3.5
TOO_LONG = f"This model's maximum context length is {CONTEXT_TOKENS} tokens."
ODD = 0.12
"""The share of steps at whose first request the server misbehaves."""
ODDITIES: tuple[tuple[str, Reaction, int], ...] = (
    ("busy", ModelFailure(429, headers={"retry-after": "2"}), 4),
    ("error", ModelFailure(500), 4),
    ("cut", ModelBreak(kind="cut", text="half an answer, to be followed by"), 4),
    ("no json", ModelBreak(kind="no json", text="half"), 2),
    ("no events", ModelBreak(kind="no events"), 2),
    ("silent", ModelBreak(kind="silent", text="hm"), 1),
    ("wrong key", ModelFailure(401, f"Incorrect API key provided: {KEY}"), 1),
)
"""What a misbehaving server does, with its name for the timeline and its weight. One tells its key."""
SPEAKS_S = (0.0, 0.0, 0.2)
"""Seconds between the pieces of an answer."""


@frozen
class Answer:
    """An answer in the making: a reaction, and a short form of it for the timeline."""

    reaction: Reaction
    shown: str


@define(eq=False)
class ScriptedModel:
    """Answers the requests of all agents of a workload."""

    seed: int
    note: Callable[..., None]
    """Adds an event to the timeline."""
    now: Callable[[], datetime]
    """Returns the world's date."""
    _times: Counter[str] = Factory(Counter)
    """By step or trouble, how often it has come."""

    def __call__(self, request: ModelRequest) -> Reaction:
        """Answer a request."""
        conversation = read_conversation(request.body)
        answer = self._answer(request, conversation)
        self.note("model", conversation.shown(), answer.shown)
        reaction = answer.reaction
        return self._measured(request, reaction) if isinstance(reaction, ModelAnswer) else reaction

    def _answer(self, request: ModelRequest, conversation: Conversation) -> Answer:
        if tokens_of(request.body) > CONTEXT_TOKENS:
            return Answer(ModelFailure(400, TOO_LONG, "too long"), "finds it too long")
        random = self._random(conversation.shown())
        if self._comes_first(conversation.shown()) and random.random() < ODD:
            name, oddity, _ = random.choices(ODDITIES, [weight for *_, weight in ODDITIES])[0]
            return Answer(oddity, f"fails: {name}")
        if conversation.summary is not None:
            return Answer(ModelAnswer(conversation.summary), "summarises")
        if conversation.corrected is not None:
            return Answer(ModelAnswer(conversation.corrected), "corrects its answer")
        return self._next(request, conversation) or self._final(conversation)

    def _next(self, request: ModelRequest, conversation: Conversation) -> Answer | None:
        """Return the next calls or failure of the programs of all messages; None if all have ended."""
        if request.body.get("tool_choice") == "none":
            return None
        results = list(conversation.results)
        for message in conversation.messages:
            program = program_of(
                message, conversation, self._random(f"oddities of {message.name}"), self.now()
            )
            step = next(program, None)
            while step is not None:
                match step:
                    case Trouble() if self._comes(step):
                        return Answer(step.reaction, f"fails: {step.name}")
                    case Trouble():
                        step = _sent(program, [])
                    case Calls() if results:
                        step = _sent(program, results.pop(0))
                    case Calls(calls, after_s):
                        names = ", ".join(call.name for call in calls)
                        return Answer(ModelAnswer(calls=calls, before=after_s), f"calls {names}")
        return None

    def _final(self, conversation: Conversation) -> Answer:
        names = [message.name for message in conversation.messages]
        if not names:
            return Answer(ModelAnswer("<internal>nobody asks</internal>"), "says nothing")
        random = self._random(f"answer to {names[0]}")
        lines = [f"re {name}" for name in names]
        if random.random() < ODD:
            lines.append('<message to="nowhere">is anybody there?</message>')
        between = random.choice(SPEAKS_S)
        return Answer(ModelAnswer("\n".join(lines), between=between), "answers")

    def _measured(self, request: ModelRequest, answer: ModelAnswer) -> ModelAnswer:
        """Report the tokens. One cached token counts the answers."""
        usage = ModelUsage(input=tokens_of(request.body), output=1 + len(answer.text) // 4, cached=1)
        return ModelAnswer(
            answer.text, answer.calls, usage, before=answer.before, between=answer.between, stop=answer.stop
        )

    def _comes(self, trouble: Trouble) -> bool:
        self._times[trouble.key] += 1
        return self._times[trouble.key] <= trouble.times

    def _comes_first(self, key: str) -> bool:
        self._times[key] += 1
        return self._times[key] == 1

    def _random(self, what: str) -> Random:
        return Random(f"model {self.seed} {what}")  # noqa: S311 -- a simulation has no secrets


def tokens_of(body: Any) -> int:
    """Estimate the tokens of a request, as the model's server counts them."""
    texts = [str(message.get("content") or message.get("tool_calls")) for message in body["messages"]]
    tools = sum(len(str(tool)) for tool in body.get("tools", ()))
    return int((sum(map(len, texts)) + tools) / CHARACTERS_A_TOKEN)


def _sent(program: Program, results: Sequence[str]) -> Calls | Trouble | None:
    try:
        return program.send(results)
    except StopIteration:
        return None
