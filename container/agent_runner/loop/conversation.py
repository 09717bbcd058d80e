"""A conversation with a model, in a form that fits every model's API."""

import json
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

from attrs import evolve, field, frozen

NO_NAME = re.compile(r"[^A-Za-z0-9_-]")
LONGEST_NAME = 64


@frozen
class Text:
    """A text of a user's message."""

    text: str
    """The text."""


@frozen
class FilePart:
    """A file that a user sent. The model is shown its content while the message is recent."""

    name: str
    """The name that the user gave it."""
    path: Path
    """The file, below the session's inbox."""
    media_type: str
    """Its type, such as `image/png`."""


@frozen
class Blob:
    """The content of a picture or PDF, as a model is shown it."""

    name: str
    """The name that the user gave it."""
    media_type: str
    """Its type, such as `image/png`."""
    data: bytes = field(repr=False)
    """Its bytes."""


Part: TypeAlias = Text | FilePart | Blob


@frozen
class ToolCall:
    """A call of a tool."""

    id: str
    """The id that its result names."""
    name: str
    """The name of the tool."""
    arguments: Mapping[str, object] = field(factory=dict)
    """Its arguments. Empty if they cannot be read."""
    problem: str = ""
    """Why its arguments cannot be read; empty if they can."""


@frozen
class ToolResult:
    """The result of a call, in words."""

    call_id: str
    """The id of the call."""
    text: str
    """The words for the model."""
    is_error: bool = False
    """True if the call failed."""


@frozen
class Asked:
    """A message to the model, from users or from the loop."""

    parts: tuple[Part, ...]
    """Its texts and files, in order."""

    @cached_property
    def size(self) -> int:
        """The characters of its texts and names of files."""
        return sum(len(part.text if isinstance(part, Text) else part.name) for part in self.parts)


@frozen
class Said:
    """An answer of the model: a text, calls, or both."""

    text: str = ""
    """Its text."""
    calls: tuple[ToolCall, ...] = ()
    """The tools that it calls."""

    @cached_property
    def size(self) -> int:
        """The characters of its text and calls."""
        calls = sum(len(f"{call.name} {json.dumps(dict(call.arguments))}") for call in self.calls)
        return len(self.text) + calls


@frozen
class Returned:
    """The results of all calls of the answer before, in their order."""

    results: tuple[ToolResult, ...]
    """One for each call."""

    @cached_property
    def size(self) -> int:
        """The characters of its texts."""
        return sum(len(result.text) for result in self.results)


Message: TypeAlias = Asked | Said | Returned


def asked(text: str, *files: Part) -> Asked:
    """Return a message with a text, which is never blank because some servers refuse that."""
    return Asked((Text(text if text.strip() else "(an empty message)"), *files))


def read_call(id_: str, name: str, arguments: str) -> ToolCall:
    """Return a call with the arguments that a model wrote as JSON. Bad ones are its `problem`."""
    try:
        value = json.loads(arguments or "{}")
    except (ValueError, RecursionError) as error:
        return ToolCall(id_, name, problem=f"the arguments are not JSON: {error}")
    if not isinstance(value, dict):
        return ToolCall(id_, name, problem="the arguments are not a JSON object")
    return ToolCall(id_, name, value)


def presentable(said: Said) -> Said:
    """Return an answer whose calls have names that every API takes back."""
    return evolve(said, calls=tuple(evolve(call, name=_name(call.name)) for call in said.calls))


def _name(name: str) -> str:
    return NO_NAME.sub("_", name)[:LONGEST_NAME] or "unknown"


def joined(messages: Sequence[Message]) -> Sequence[Message]:
    """Return the messages without empty ones. Neighbours of users become one, as some models require."""
    found: list[Message] = []
    for message in messages:
        if isinstance(message, Said) and not message.text.strip() and not message.calls:
            continue
        if isinstance(message, Asked) and found and isinstance(found[-1], Asked):
            found[-1] = Asked((*found[-1].parts, *message.parts))
            continue
        found.append(message)
    return found


def cut_middle(text: str, most: int) -> str:
    """Return a text of at most about `most` characters: the middle is cut out, with a note."""
    if len(text) <= most:
        return text
    kept = max(0, most) // 2
    left_out = len(text) - 2 * kept
    return f"{text[:kept]}\n[... {left_out:,} characters left out ...]\n{text[len(text) - kept :]}"
