"""The protocol of providers, and a base for simple ones."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol, runtime_checkable

from agent_runner.providers.context import ProviderContext
from agent_runner.providers.toolbox import Toolbox
from agent_runner.records import Result, Turn


class TurnHandler(Protocol):
    """A provider that is open, and takes one turn after the other."""

    async def run(self, turn: Turn, tools: Toolbox, /) -> Result:
        """Take a turn. It may be cancelled at any checkpoint; the same messages are offered again later.

        Raises ProviderError if it cannot answer now. Any other exception has that effect. Users see neither.
        """
        ...


@runtime_checkable
class Compacting(Protocol):
    """A handler that keeps the conversation, and can shorten it. `/compact` asks it."""

    async def compact(self) -> str:
        """Shorten the kept conversation now. Return what was done, in words for the user.

        Raises ProviderError if the model cannot do it now.
        """
        ...


@runtime_checkable
class Forgetting(Protocol):
    """A handler that keeps the conversation in memory or in files of its own. `/clear` tells it."""

    async def forget(self) -> None:
        """Forget the conversation. The session's state was emptied just before."""
        ...


@runtime_checkable
class RunsMcpServers(Protocol):
    """A provider that runs `ProviderContext.mcp_servers` itself. For others the runner does."""

    @property
    def runs_mcp_servers(self) -> bool:
        """True."""
        ...


class Provider(Protocol):
    """Answers messages. A runner opens its provider once and closes it when it ends."""

    @property
    def name(self) -> str:
        """The name in the configuration."""
        ...

    def open(self, context: ProviderContext, /) -> AbstractAsyncContextManager[TurnHandler]:
        """Open the provider's resources. The context manager yields the handler of turns.

        It is always closed: at an orderly end, a cancellation, or an error of the runner. An exception while
        it is entered releases the messages that are due, with the exception as the reason.
        """
        ...


class SimpleProvider(ABC):
    """A base for providers that have nothing to open. Only `name` and `run` are needed."""

    name: str

    @asynccontextmanager
    async def open(self, _context: ProviderContext, /) -> AsyncGenerator[TurnHandler]:
        """Yield the provider itself."""
        yield self

    @abstractmethod
    async def run(self, turn: Turn, tools: Toolbox, /) -> Result:
        """Take a turn, as TurnHandler.run."""
