"""What a fake model is asked, and what it answers."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import trio
from attrs import field, frozen

Wire = Literal["anthropic", "openai"]


class ConnectionCut(Exception):
    """The fake model closes the connection in the middle of its answer."""


@frozen
class ModelRequest:
    """A request to a model."""

    wire: Wire
    """The wire format: `anthropic` for /v1/messages, `openai` for /v1/chat/completions."""
    path: str
    """The path, with its query."""
    headers: Mapping[str, str]
    """The headers; names are in lower case."""
    body: Mapping[str, Any]
    """The body, parsed."""

    @property
    def model(self) -> str:
        """The name of the model."""
        return str(self.body.get("model", ""))

    @property
    def stream(self) -> bool:
        """True if the answer is to be streamed."""
        return bool(self.body.get("stream"))

    @property
    def messages(self) -> Sequence[Mapping[str, Any]]:
        """The messages, in the wire format."""
        return list(self.body.get("messages", ()))

    @property
    def tools(self) -> Sequence[str]:
        """The names of the tools that are offered."""
        offered = self.body.get("tools", ())
        return [str(tool.get("name") or tool.get("function", {}).get("name")) for tool in offered]

    @property
    def system(self) -> str:
        """The system prompt."""
        first = [message for message in self.messages if message.get("role") == "system"]
        return "".join(_texts(self.body.get("system") or (first[0]["content"] if first else "")))

    @property
    def text(self) -> str:
        """All texts of the last message: of its text parts, and of its tool results."""
        return "\n".join(_texts(self.messages[-1].get("content"))) if self.messages else ""

    @property
    def has_results(self) -> bool:
        """True if the last message brings results of tools."""
        last = self.messages[-1] if self.messages else {}
        content = last.get("content")
        parts = content if isinstance(content, list) else []
        return last.get("role") == "tool" or any(part.get("type") == "tool_result" for part in parts)


def _texts(content: object) -> Iterator[str]:
    match content:
        case str():
            yield content
        case list():
            for part in content:
                yield from _texts(part.get("text") or part.get("content"))


@frozen
class ModelCall:
    """A call of a tool."""

    name: str
    """The name of the tool."""
    arguments: Mapping[str, object] | str = field(factory=dict)
    """Its arguments. A text is sent as it is, even if it is not JSON."""
    id: str = ""
    """Its id. Empty: one is made."""


@frozen(kw_only=True)
class ModelUsage:
    """The tokens that an answer reports."""

    input: int = 10
    """Tokens of the request."""
    output: int = 5
    """Tokens of the answer."""
    cached: int = 0
    """Tokens of the request that came from a cache, on top of `input`."""


@frozen
class ModelAnswer:
    """An answer of a model."""

    text: str = ""
    """Its text."""
    calls: Sequence[ModelCall] = ()
    """The tools that it calls, after the text."""
    usage: ModelUsage = field(factory=ModelUsage)
    """The tokens that it reports."""
    stop: Literal["end", "length", "refusal"] = "end"
    """Why it ends, if it calls no tool."""
    pieces: int = 3
    """The number of pieces that a streamed text comes in."""
    before: trio.Event | float = 0.0
    """An event to wait for before the answer begins, or seconds."""
    between: trio.Event | float = 0.0
    """An event to wait for after the first piece, or seconds after each piece."""


@frozen(kw_only=True)
class ModelBreak:
    """A broken answer.

    - `cut`: the connection closes after the first pieces of the text.
    - `no json`: the body, or the data of a streamed event, is not JSON.
    - `no events`: a streamed answer is a page of HTML with status 200.
    - `silent`: nothing comes after the first pieces, until the client leaves.
    """

    kind: Literal["cut", "no json", "no events", "silent"]
    """What breaks."""
    text: str = ""
    """The text that comes before. Without one, nothing of the answer comes."""


@frozen
class ModelFailure:
    """An error status, with a body in the vendor's form."""

    status: int
    """The status, such as 429."""
    message: str = ""
    """The message. Empty: the vendor's usual words for this status and kind."""
    kind: Literal["", "quota", "too long", "no pictures", "no model", "bad history"] = ""
    """What is wrong, where the status alone does not say it."""
    headers: Mapping[str, str] = field(factory=dict)
    """Headers such as `retry-after`."""
    body: bytes | None = None
    """A body to send instead, for example the JSON of a gateway."""


Reaction: TypeAlias = str | ModelAnswer | ModelFailure | ModelBreak
"""An answer; a text stands for a ModelAnswer with it."""
Answers: TypeAlias = Reaction | Sequence[Reaction] | Callable[[ModelRequest], Reaction | Awaitable[Reaction]]
"""One answer for every request, or one for each in order, or a function that answers."""
