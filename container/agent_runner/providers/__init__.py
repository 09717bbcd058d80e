"""The agent behind the runner: the protocol, and finding one by name.

A provider is a module of this package with `create() -> Provider`, entered in `PROVIDERS`. It is imported
when it is chosen, so that none pays for another's libraries.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Protocol, cast

from attrs import frozen

from agent_runner.errors import ConfigError
from agent_runner.records import Inbound, Result, Turn

PROVIDERS: Mapping[str, str] = {"echo": "agent_runner.providers.echo"}


@frozen
class ToolSpec:
    """A tool as a model is told of it; `parameters` is a JSON schema."""

    name: str
    description: str
    parameters: Mapping[str, object]


class Toolbox(Protocol):
    """What a provider may do during its turn, besides answering."""

    @property
    def specs(self) -> Sequence[ToolSpec]:
        """The tools there are."""
        ...

    async def call(self, name: str, arguments: Mapping[str, object]) -> str:
        """Call a tool and return its result in words. Raises ToolError, whose message is for the agent."""
        ...

    async def follow_ups(self) -> Sequence[Inbound]:
        """Wait for messages that came since the turn began, and take them into it; for ever, if none come.

        They are completed by a Result that names them (`consumed`, or a reply to them); otherwise they come
        again with the next turn. To a turn over a message that was tried before none are given.
        """
        ...

    def alive(self) -> None:
        """Say that the provider still gets on: one that is silent for too long loses its turn."""
        ...


class Provider(Protocol):
    """Makes replies of messages."""

    @property
    def name(self) -> str:
        """The name it is chosen by."""
        ...

    async def run(self, turn: Turn, tools: Toolbox) -> Result:
        """Take a turn. May be cancelled at any checkpoint, and the turn told again later.

        Raises ProviderError when it cannot; any other exception is taken as one. Neither reaches a user.
        """
        ...


def load(name: str) -> Provider:
    """The provider of that name. Raises ConfigError for a name that nobody has."""
    if name not in PROVIDERS:
        raise ConfigError(f"AGENT_PROVIDER={name!r} is not known; there are: {', '.join(sorted(PROVIDERS))}")
    return cast("Provider", import_module(PROVIDERS[name]).create())
