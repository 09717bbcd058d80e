"""Providers for tests: an agent's brain as a function or as a script.

A brain gets what a provider gets: the turn (messages, context, what was already sent) and the tools. It
returns the answer: a text, a whole `Result`, or None for no answer.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

import trio
from attrs import Factory, define, frozen

from agent_runner.errors import ProviderError
from agent_runner.providers import Provider, ProviderContext, SimpleProvider, Toolbox, TurnHandler
from agent_runner.records import Inbound, Reply, Result, Turn
from agent_runner.tools.ask_user_question import ANSWER_TIMEOUT, NO_ANSWER
from nanoclaw.config.tables import RetryConfig

MAX_TRIES = RetryConfig().max_tries


class Brain(Protocol):
    """Any `async def brain(turn, tools)`."""

    def __call__(self, turn: Turn, tools: Toolbox, /) -> Awaitable[str | Result | None]:
        """Run a turn. It may be cancelled at any checkpoint and repeated later."""
        ...


class Step(Protocol):
    """A part of a scripted turn. Its return value is added to the answer."""

    def __call__(self, turn: Turn, tools: Toolbox, /) -> Awaitable[str | None]:
        """Perform the step."""
        ...


def says(text: str) -> Step:
    """Answer with this text. `{text}` in it stands for the text of the message, or the chosen option."""

    async def step(turn: Turn, _tools: Toolbox) -> str:
        await trio.lowlevel.checkpoint()
        content = turn.messages[-1].content
        return text.replace(
            "{text}", str(content.get("selectedOption" if _is_answer(content) else "text", ""))
        )

    return step


def calls(tool: str, **arguments: object) -> Step:
    """Call a tool. Its answer is ignored; a refusal fails the turn."""

    async def step(_turn: Turn, tools: Toolbox) -> None:
        await tools.call(tool, arguments)

    return step


def asks(question: str, *options: str, title: str = "Question", timeout_s: int = ANSWER_TIMEOUT) -> Step:
    """Ask a question with buttons, and answer with the chosen option.

    Without a click in time it says nothing, and the turn goes on. The answer then begins the next turn, as a
    message does.
    """
    arguments = {"title": title, "question": question, "options": list(options), "timeout_s": timeout_s}

    async def step(_turn: Turn, tools: Toolbox) -> str | None:
        chosen = await tools.call("ask_user_question", arguments)
        return None if chosen.startswith(NO_ANSWER) else chosen

    return step


def thinks(seconds: float) -> Step:
    """Wait for this many seconds."""

    async def step(_turn: Turn, _tools: Toolbox) -> None:
        await trio.sleep(seconds)

    return step


def fails(reason: str) -> Step:
    """Fail with ProviderError, so that the message is retried."""

    async def step(_turn: Turn, _tools: Toolbox) -> None:
        await trio.lowlevel.checkpoint()
        raise ProviderError(reason)

    return step


@define(eq=False)
class Script:
    """A brain that plays one given turn after the other, and then stays silent.

    A repeated turn runs the same steps again, even if messages were added or come later: any message that
    it had identifies it. An answer to a question may arrive by itself while such a turn still has to be
    repeated. It then belongs to that turn. It is a turn of its own if the other turn has had its last try.
    """

    turns: Sequence[Sequence[Step]]
    max_tries: Callable[[], int] = lambda: MAX_TRIES
    """Returns how often the host tries a message. The world sets it."""
    _taken: dict[str, int] = Factory(dict)
    """The index of the turn that took each message."""
    _begun: int = 0
    _open: dict[int, int] = Factory(dict)
    """The unfinished turns, each with the number of its last try."""

    async def __call__(self, turn: Turn, tools: Toolbox) -> str | None:
        """Run the next turn, or repeat the turn that had one of these messages."""
        n = self._number(turn.messages)
        if n is None:
            await trio.lowlevel.checkpoint()
            return None
        self._open[n] = 1 + max(message.tries for message in turn.messages)
        steps = self.turns[n] if n < len(self.turns) else ()
        said = [await step(turn, tools) for step in steps]
        self._open.pop(n, None)
        return "\n".join(text for text in said if text is not None) or None

    def _number(self, messages: Sequence[Inbound]) -> int | None:
        n = next((self._taken[message.id] for message in messages if message.id in self._taken), None)
        if n is None:
            if self._comes_again() and all(_is_answer(message.content) for message in messages):
                return None
            n, self._begun = self._begun, self._begun + 1
        self._taken.update((message.id, n) for message in messages)
        return n

    def _comes_again(self) -> bool:
        """Return whether a turn will be repeated."""
        return any(tried < self.max_tries() for tried in self._open.values())


def _is_answer(content: Mapping[str, object]) -> bool:
    return content.get("type") == "question_response"


def script(*turns: Step | Sequence[Step]) -> Script:
    """Return a brain that plays these turns, each one step or several."""
    return Script([turn if isinstance(turn, Sequence) else (turn,) for turn in turns])


@frozen
class BrainProvider(SimpleProvider):
    """A brain as a provider of the runner."""

    name: str
    brain: Brain

    async def run(self, turn: Turn, tools: Toolbox, /) -> Result:
        """Call the brain. A text answers the last message of the turn."""
        answer: object = await self.brain(turn, tools)
        if isinstance(answer, Result):
            return answer
        if not isinstance(answer, str | None):
            raise TypeError(f"the brain returned {answer!r:.200}: a text, a Result or None is an answer")
        return Result(() if answer is None else (Reply(answer, turn.messages[-1].id),))


def provider_of(name: str, brain: Brain) -> Callable[[], BrainProvider]:
    """Return a factory of providers for the runtime. Every provider has the same brain."""
    return lambda: BrainProvider(name, brain)


@frozen
class Overheard:
    """A provider whose errors are reported before the runner counts them as failed tries."""

    provider: Provider
    tell: Callable[[Exception], None]

    @property
    def name(self) -> str:
        """The name of the wrapped provider."""
        return self.provider.name

    @asynccontextmanager
    async def open(self, context: ProviderContext, /) -> AsyncIterator[TurnHandler]:
        """Open the provider."""
        try:
            async with self.provider.open(context) as handler:
                yield _OverheardTurns(handler, self.tell)
        except Exception as error:
            self.tell(error)
            raise


@frozen
class _OverheardTurns:
    """The turns of a wrapped provider."""

    handler: TurnHandler
    tell: Callable[[Exception], None]

    async def run(self, turn: Turn, tools: Toolbox, /) -> Result:
        """Run the turn."""
        try:
            return await self.handler.run(turn, tools)
        except Exception as error:
            self.tell(error)
            raise
