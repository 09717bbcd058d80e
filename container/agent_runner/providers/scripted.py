"""The provider `scripted`: answers, tool calls, delays and errors from a file, behind the real agent loop.

The file is `script.toml` or `script.json` in the agent's workspace, or the one there that `[model] name`
names. It is read anew for each answer. A turn takes the first `[[turn]]` whose `match` its messages contain;
without a `match`, any. Its `[[turn.step]]` are the answers of the model, one after the other:

    [[turn]]
    match = "weather"
    [[turn.step]]
    calls = [{ name = "send_message", arguments = { text = "I look it up." } }]
    [[turn.step]]
    delay_s = 2
    text = "It rains. You said: {text}"

In JSON, a list of steps alone stands for one turn with them. A step may have an `error`: `retry`, `quota`,
`budget`, `history`, `too long`, `no files`, `fatal`. With `times = 2` only the first two requests fail.
"""

import html
import json
import re
import tomllib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from attrs import define, field, frozen

from agent_runner.loop.client import ModelClient, ModelReply, ModelRequest, Usage
from agent_runner.loop.conversation import Asked, Message, Said, Text, ToolCall
from agent_runner.loop.errors import ModelError, Problem
from agent_runner.loop.provider import LoopProvider
from agent_runner.loop.tokens import tokens_of, tokens_of_request
from agent_runner.providers import ModelSettings, Provider, ProviderContext

FILES = ("script.toml", "script.json")
LARGEST = 1024 * 1024
"""Bytes of a script."""
WORDS_A_PIECE = 3


def create() -> Provider:
    """Make the provider, for `providers.load`."""
    return LoopProvider("scripted", open_client)


@asynccontextmanager
async def open_client(context: ProviderContext, settings: ModelSettings) -> AsyncGenerator[ModelClient]:
    """Open a client that reads its script from the agent's workspace."""
    await trio.lowlevel.checkpoint()
    names = (settings.name,) if settings.name.endswith((".toml", ".json")) else FILES
    yield ScriptedClient(context.workspace, names)


@frozen
class Step:
    """One answer of a script."""

    text: str = ""
    calls: tuple[tuple[str, Mapping[str, object]], ...] = ()
    delay_s: float = 0.0
    error: Problem | None = None
    times: int = 0
    """The number of requests that fail; 0: all."""


@frozen
class ScriptedTurn:
    """The steps for turns whose messages contain a text."""

    match: str
    steps: tuple[Step, ...]


@define(eq=False)
class ScriptedClient:
    """Implements `ModelClient`. The conversation tells the place in the script, so a restart keeps it."""

    _workspace: Path
    _names: Sequence[str]
    _failed: dict[tuple[int, int], int] = field(factory=dict, init=False)
    """How often each step has failed."""

    async def ask(self, request: ModelRequest, streamed: Callable[[str], None], /) -> ModelReply:
        """Play the next step."""
        await trio.lowlevel.checkpoint()
        text, number = _place(request.messages)
        turns = read_script(self._workspace, self._names)
        found = next((n for n, turn in enumerate(turns) if turn.match.casefold() in text.casefold()), None)
        if found is None or number >= len(turns[found].steps):
            return ModelReply()
        step = turns[found].steps[number]
        await trio.sleep(step.delay_s)
        self._fail(step, (found, number))
        return await _played(step, request, text, streamed)

    def _fail(self, step: Step, place: tuple[int, int]) -> None:
        failed = self._failed.get(place, 0)
        if step.error is not None and (not step.times or failed < step.times):
            self._failed[place] = failed + 1
            words = step.text or f"The script says: {step.error.value}."
            raise ModelError(step.error, f"the script says: {step.error.value}", words)


async def _played(
    step: Step, request: ModelRequest, text: str, streamed: Callable[[str], None]
) -> ModelReply:
    said = step.text.replace("{text}", text)
    words = said.split(" ")
    for end in range(WORDS_A_PIECE, len(words), WORDS_A_PIECE):
        streamed(" ".join(words[:end]))
        await trio.lowlevel.checkpoint()
    streamed(said)
    calls = tuple(ToolCall(f"call_{n}", *call) for n, call in enumerate(step.calls))
    usage = Usage(int(tokens_of_request(request)), int(tokens_of([Said(said, calls)])))
    return ModelReply(text=said, calls=calls if request.may_call else (), usage=usage)


def _place(messages: Sequence[Message]) -> tuple[str, int]:
    """Return the text that the running turn began with, and the number of answers since then."""
    start = max((n for n, message in enumerate(messages) if isinstance(message, Asked)), default=0)
    first = messages[start] if messages else None
    parts = first.parts if isinstance(first, Asked) else ()
    answers = sum(isinstance(message, Said) for message in messages[start:])
    return _words("\n".join(part.text for part in parts if isinstance(part, Text))), answers


def _words(text: str) -> str:
    """Return what people wrote, without the tags around it."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", text)).split())


# -- the file ----------------------------------------------------------------------


def read_script(workspace: Path, names: Sequence[str]) -> Sequence[ScriptedTurn]:
    """Read the script. Raises ModelError, which says what is wrong where."""
    path = next((workspace / name for name in names if (workspace / name).is_file()), None)
    if path is None:
        raise _unusable(f"there is no {' or '.join(names)} in the agent's workspace")
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST).decode()
        parsed = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
        turns = [{"step": parsed}] if isinstance(parsed, list) else parsed["turn"]
        return [_turn(each) for each in turns]
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise _unusable(f"{path.name}: {type(error).__name__}: {error}") from error


def _unusable(reason: str) -> ModelError:
    return ModelError(Problem.FATAL, f"the script: {reason}", f"My script cannot be played: {reason}.")


def _turn(value: Mapping[str, Any]) -> ScriptedTurn:
    steps = tuple(_step(each) for each in value["step"])
    if not steps:
        raise ValueError("a turn has no steps")
    return ScriptedTurn(str(value.get("match", "")), steps)


def _step(value: Mapping[str, Any]) -> Step:
    unknown = set(value) - {"text", "calls", "delay_s", "error", "times"}
    if unknown:
        raise ValueError(f"a step has no {', '.join(sorted(unknown))}")
    return Step(
        str(value.get("text", "")),
        tuple((str(call["name"]), dict(call.get("arguments", {}))) for call in value.get("calls", ())),
        max(0.0, float(value.get("delay_s", 0))),
        Problem(value["error"]) if "error" in value else None,
        int(value.get("times", 0)),
    )
