"""The protocol between the loop and a model's API."""

from collections.abc import Callable, Sequence
from typing import Literal, Protocol

from attrs import field, frozen

from agent_runner.loop.conversation import Asked, Blob, Message, ToolCall
from agent_runner.providers.toolbox import ToolSpec

LONGEST_ANSWER = 100_000
"""Characters of an answer's text. The rest is not read: an honest server stops at `max_tokens`."""
LONGEST_ARGUMENTS = 1_000_000
"""Characters of the names and arguments of all calls of an answer."""
MOST_CALLS = 200
"""Calls of an answer. The rest is not read."""

Stop = Literal["end", "length", "refusal"]


@frozen
class Usage:
    """The tokens of a request and its answer, as the server reports them; 0 where it does not."""

    input: int = 0
    """Tokens of the request that were not cached."""
    output: int = 0
    """Tokens of the answer."""
    cached: int = 0
    """Tokens of the request that came from the server's cache."""
    written: int = 0
    """Tokens of the request that the server put into its cache."""

    def __add__(self, other: "Usage") -> "Usage":
        """Return the sum."""
        return Usage(
            self.input + other.input,
            self.output + other.output,
            self.cached + other.cached,
            self.written + other.written,
        )

    @property
    def asked(self) -> int:
        """All tokens of the request."""
        return self.input + self.cached + self.written


@frozen(kw_only=True)
class ModelRequest:
    """A request to a model."""

    model: str
    """The name of the model; empty: the client's default."""
    system: str
    """The system prompt."""
    messages: Sequence[Message]
    """The conversation. Of files, only a `Blob` is shown to the model."""
    tools: Sequence[ToolSpec] = ()
    """The tools that it may know."""
    may_call: bool = True
    """True if it may call tools. If not, it still sees them, so that the server's cache stays valid."""
    max_tokens: int = 4096
    """The most tokens of the answer."""
    settled: int = 0
    """The number of messages that the next turns will begin with, too. The server may cache them."""

    @property
    def has_files(self) -> bool:
        """True if it shows files."""
        return any(
            isinstance(part, Blob)
            for message in self.messages
            if isinstance(message, Asked)
            for part in message.parts
        )


@frozen(kw_only=True)
class ModelReply:
    """An answer of a model."""

    text: str = ""
    """Its text."""
    calls: tuple[ToolCall, ...] = ()
    """The tools that it calls."""
    stop: Stop = "end"
    """Why it ended: by itself, at a limit of length, or because the model or its server refuses."""
    usage: Usage = field(factory=Usage)
    """The tokens."""


class ModelClient(Protocol):
    """A model's API."""

    async def ask(self, request: ModelRequest, streamed: Callable[[str], None], /) -> ModelReply:
        """Send a request and return the answer.

        `streamed` takes the text so far, whenever more arrives. Without a text it says that the server is
        alive. Raises ModelError.
        """
        ...
