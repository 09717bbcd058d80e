"""Brains: what an agent of a world thinks with, as a function or as a script.

A brain gets what a provider gets: the turn (messages, context, what was already sent) and the tools. It
returns the answer: a text, a whole `Result`, or None for no answer.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

import trio
from attrs import Factory, define, frozen

from agent_runner.errors import ProviderError
from agent_runner.providers import Toolbox
from agent_runner.records import Reply, Result, Turn


class Brain(Protocol):
    """Any `async def brain(turn, tools)`."""

    def __call__(self, turn: Turn, tools: Toolbox, /) -> Awaitable[str | Result | None]:
        """Take a turn; may be cancelled at any checkpoint, and asked again later, as a provider may."""
        ...


class Step(Protocol):
    """A part of a scripted turn. What it returns is added to the answer."""

    def __call__(self, turn: Turn, tools: Toolbox, /) -> Awaitable[str | None]:
        """Do it."""
        ...


def says(text: str) -> Step:
    """Answer with this text; `{text}` in it is the text of the message."""

    async def step(turn: Turn, _tools: Toolbox) -> str:
        await trio.lowlevel.checkpoint()
        return text.replace("{text}", str(turn.messages[-1].content.get("text", "")))

    return step


def calls(tool: str, **arguments: object) -> Step:
    """Call a tool; what it answers is not looked at, what it refuses fails the turn."""

    async def step(_turn: Turn, tools: Toolbox) -> None:
        await tools.call(tool, arguments)

    return step


def asks(question: str, *options: str, title: str = "Question", timeout_s: int = 300) -> Step:
    """Ask with buttons, and answer with what somebody chose; if nobody does in time, the turn fails."""
    arguments = {"title": title, "question": question, "options": list(options), "timeout_s": timeout_s}

    async def step(_turn: Turn, tools: Toolbox) -> str:
        return await tools.call("ask_user_question", arguments)

    return step


def thinks(seconds: float) -> Step:
    """Take so long."""

    async def step(_turn: Turn, _tools: Toolbox) -> None:
        await trio.sleep(seconds)

    return step


def fails(reason: str) -> Step:
    """Fail as a provider does that cannot answer now: the message is tried again."""

    async def step(_turn: Turn, _tools: Toolbox) -> None:
        await trio.lowlevel.checkpoint()
        raise ProviderError(reason)

    return step


@define(eq=False)
class Script:
    """A brain that does as it is told, turn by turn; after the last one it is silent.

    A turn that was interrupted is told again and does the same again: it is known by its messages.
    """

    turns: Sequence[Sequence[Step]]
    _taken: dict[tuple[str, ...], int] = Factory(dict)

    async def __call__(self, turn: Turn, tools: Toolbox) -> str | None:
        """Take the turn that is next, or the one that it was before."""
        key = tuple(message.id for message in turn.messages)
        n = self._taken.setdefault(key, len(self._taken))
        steps = self.turns[n] if n < len(self.turns) else ()
        said = [await step(turn, tools) for step in steps]
        return "\n".join(text for text in said if text is not None) or None


def script(*turns: Step | Sequence[Step]) -> Script:
    """A brain of turns, each one step or several."""
    return Script([turn if isinstance(turn, Sequence) else (turn,) for turn in turns])


async def echo(turn: Turn, _tools: Toolbox) -> Result:
    """The brain of agents that were given none: says what it hears."""
    await trio.lowlevel.checkpoint()
    texts = [(message.id, _heard(message.content)) for message in turn.messages]
    return Result(tuple(Reply(f"echo: {text}", id_) for id_, text in texts if text is not None))


def _heard(content: Mapping[str, object]) -> str | None:
    return next(
        (str(content[key]) for key in ("text", "prompt", "event", "selectedOption") if key in content), None
    )


@frozen
class BrainProvider:
    """A brain as a provider of the runner."""

    name: str
    brain: Brain

    async def run(self, turn: Turn, tools: Toolbox) -> Result:
        """Ask the brain. A text answers the last message of the turn."""
        answer = await self.brain(turn, tools)
        if isinstance(answer, Result):
            return answer
        return Result(() if answer is None else (Reply(answer, turn.messages[-1].id),))


def provider_of(name: str, brain: Brain) -> Callable[[], BrainProvider]:
    """What the runtime makes a provider of, at each start of a runner; the brain stays the same."""
    return lambda: BrainProvider(name, brain)
