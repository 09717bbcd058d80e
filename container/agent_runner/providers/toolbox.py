"""Tools as a provider sees them: their specifications, calling them, adding more at run time."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol, runtime_checkable

from attrs import frozen

from agent_runner.records import Inbound

Arguments = Mapping[str, object]
SANDBOX_TOOLS = frozenset(
    {"bash", "read_file", "write_file", "edit_file", "list_files", "search_files", "web_fetch"}
)
"""Tools of the agent loop in a sandbox. Other programs there, such as Claude Code, have their own."""


@frozen
class ToolSpec:
    """The description of a tool for a model. `parameters` is a JSON Schema of type `object`."""

    name: str
    description: str
    parameters: Mapping[str, object]

    @cached_property
    def size(self) -> int:
        """The characters that it adds to a request. Counted once, so the schema must not change."""
        schema = json.dumps(dict(self.parameters), default=str)
        return len(self.name) + len(self.description) + len(schema)


@frozen
class Tool:
    """A tool that is ready to be called. `run` returns its result in words, or raises ToolError.

    A call that takes longer than `timeout` seconds is cancelled. `waits_for` adds to that, in seconds,
    for a call with these arguments.
    """

    spec: ToolSpec
    run: Callable[[Arguments], Awaitable[str]]
    timeout: float = 60.0
    waits_for: Callable[[Arguments], float] | None = None

    def declared(self, arguments: Arguments) -> float:
        """Return the time that a call with these arguments may take, in seconds."""
        return self.timeout + (self.waits_for(arguments) if self.waits_for else 0.0)


class ToolRegistry(Protocol):
    """The tools of a session. A change is visible in `specs` at once, also in a turn that is running."""

    @property
    def specs(self) -> Sequence[ToolSpec]:
        """The tools that can be called now."""
        ...

    def add(self, tool: Tool, /) -> None:
        """Offer one more tool. Raises ToolRegistrationError, naming the tool and what is wrong with it."""
        ...

    def remove(self, name: str, /) -> None:
        """Withdraw a tool that was added. Calls in progress continue. Raises ToolRegistrationError."""
        ...


class Toolbox(Protocol):
    """The tools and functions that a provider may use during a turn."""

    @property
    def specs(self) -> Sequence[ToolSpec]:
        """The tools that can be called now."""
        ...

    async def call(self, name: str, arguments: Arguments) -> str:
        """Call a tool and return its result in words. Raises ToolError, whose message is for the agent."""
        ...

    async def follow_ups(self) -> Sequence[Inbound]:
        """Wait for messages that arrived since the turn began, and claim them for it.

        Never returns if none arrive, and always so in a turn over a message that was tried before. A Result
        completes the follow-ups that it names (`consumed`, or a reply); the next turn gets the others.
        """
        ...

    def draft(self, text: str) -> None:
        """Show the text so far of the final answer to whoever waits for it. It is a hint, and may be lost.

        Call it as often as text arrives; it returns at once. The final answer takes its place.
        """
        ...

    def alive(self) -> None:
        """Report progress. A provider that is silent for too long loses its turn."""
        ...


@frozen
class ShownFile:
    """A picture or PDF that a tool shows to the model."""

    name: str
    path: Path
    """Its real path, below a folder of the session."""
    media_type: str


@runtime_checkable
class Showing(Protocol):
    """A toolbox whose tools may show files, after their results in words."""

    def take_shown(self) -> Sequence[ShownFile]:
        """Return the files that tools have shown since it was called before."""
        ...
