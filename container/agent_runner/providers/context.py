"""The context of a provider: the parts of its session that it may use."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, Protocol

from attrs import field, frozen

from agent_runner.clock import Clock
from agent_runner.knowledge.files import TextFiles
from agent_runner.providers.http import HttpClients
from agent_runner.providers.mcp_servers import McpServer
from agent_runner.providers.model_settings import ModelSettings
from agent_runner.providers.toolbox import ToolRegistry
from agent_runner.records import Notebook


class SessionState(Protocol):
    """Texts by key that outlive the runner: the table `session_state` of outbound.db.

    Each call is one transaction. To change state and complete a turn together, use `Result.state`.
    """

    async def get(self, key: str, /) -> str | None:
        """Return the value, or None if there is none."""
        ...

    async def set(self, key: str, value: str, /) -> None:
        """Store a value. Raises UnstorableError for a bad key, a value too large, or too many keys."""
        ...

    async def delete(self, key: str, /) -> None:
        """Remove a key, if it is there."""
        ...

    async def items(self) -> Mapping[str, str]:
        """Return everything, in the order of the keys."""
        ...


class EventLog(Protocol):
    """The table `events` of outbound.db, which people read."""

    async def record(
        self, kind: Literal["usage", "error"], data: Mapping[str, object], /, turn_id: str | None = None
    ) -> None:
        """Commit an event: the tokens a model took, or an error.

        Usage with the id of the open turn is committed with the outcome of the turn, whatever that is.

        Raises UnstorableError where `data` is not JSON, or longer than 16,384 characters of it.
        """
        ...


class NoteReader(Protocol):
    """The notes of the agent, for the prompt."""

    async def notebook(self) -> Notebook:
        """Return the notes to show. Raises NotesUnavailable."""
        ...

    @property
    def set_aside(self) -> str | None:
        """The name of a damaged file of notes, after which they began anew, or None."""
        ...


@frozen
class NoNotes:
    """An agent without notes. Implements NoteReader."""

    set_aside: str | None = None

    async def notebook(self) -> Notebook:
        """Return no notes."""
        return Notebook()


@frozen(kw_only=True)
class ProviderContext:
    """The session of a provider. It stays valid until the provider is closed."""

    state: SessionState
    """Texts by key that outlive the runner."""
    tools: ToolRegistry
    """The session's tools; the provider may add its own."""
    events: EventLog
    """Takes events for people to read, such as the usage of a model."""
    http: HttpClients
    """Opens HTTP clients, which the runner closes."""
    clock: Clock
    """The date."""
    workspace: Path
    """The agent's own files."""
    shared: Path
    """The files that all agents may read. The folder may be missing."""
    inbound: Path
    """The folder that the host writes. Attachments of users are below its `inbox/`."""
    outbound: Path
    """The session's folder, which the runner writes."""
    sandboxed: bool
    """True if the runner is in a sandbox. Without one, an agent has chat tools only."""
    model: ModelSettings
    """The model to ask."""
    model_settings: Mapping[str, object]
    """The settings of the model as the host sent them, with the keys of other providers."""
    new_id: Callable[[str], str]
    """Makes a random id with this prefix, fit for a path."""
    notes: NoteReader = field(factory=NoNotes)
    """What the agent remembers."""
    model_socket: Path | None = None
    """The socket of the model gateway, for a program that the provider starts. Prefer `http`."""
    tools_socket: Path | None = None
    """The socket of the runner's own tools, for programs in the sandbox. None without a sandbox."""
    mcp_servers: Mapping[str, McpServer] = field(factory=dict)
    """The agent's MCP servers, for a provider that `RunsMcpServers`. None without a sandbox."""
    tool_servers: Mapping[str, str] = field(factory=dict)
    """The state of each MCP server that the runner runs, in words. It changes."""
    files: TextFiles = field(factory=TextFiles)
    """Reads files that people and agents wrote."""
