"""The command line and the environment of Claude Code."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import field, frozen

from agent_runner.providers.mcp_servers import McpServer
from agent_runner.providers.model_settings import ModelSettings
from agent_runner.providers.toolbox import ToolSpec
from agent_runner.sockets.web import VARIABLES

SERVER = "nanoclaw"
"""The name of our tools' MCP server inside Claude Code."""
OWN_TOOLS = (
    *("Bash", "Edit", "Glob", "Grep", "NotebookEdit", "Read"),
    *("Task", "TodoWrite", "WebFetch", "WebSearch", "Write"),
)
"""The tools of Claude Code that a sandboxed agent has. Its other ones wait for a person at a terminal."""
KEPT = ("PATH", "LANG")
"""The runner's variables that Claude Code sees, too."""
QUIET: Mapping[str, str] = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_TELEMETRY": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "DISABLE_GROWTHBOOK": "1",
    "ENABLE_TOOL_SEARCH": "false",
}
"""Without these it connects to other servers, or hides tools from the model."""
BOUNDED: Mapping[str, str] = {
    "CLAUDE_CODE_MAX_RETRIES": "1",
    "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1",
    "CLAUDE_CODE_DISABLE_CRON": "1",
    "CLAUDE_CODE_DISABLE_FILE_CHECKPOINTING": "1",
    "CLAUDE_CODE_SKIP_MCP_DEBUG_LOG_FILES": "1",
    "MCP_TOOL_TIMEOUT": str(24 * 3600 * 1000),
    "CLAUDE_CODE_SDK_MCP_TOOL_IDLE_TIMEOUT": str(24 * 3600 * 1000),
}
"""Retries, long work and logs are the runner's. Its tools have time limits of their own."""
OTHER_MODELS = ("ANTHROPIC_SMALL_FAST_MODEL", "CLAUDE_CODE_SUBAGENT_MODEL")
"""Variables that name models for side work. All work goes to the configured model: its price is known."""
SETTINGS = json.dumps({"cleanupPeriodDays": 3650, "includeCoAuthoredBy": False})
"""The conversation of a session must not be deleted because nobody wrote for a month."""


@frozen
class Position:
    """The end of a committed turn in a conversation that Claude Code keeps."""

    session: str
    """Claude Code's id of the conversation."""
    at: str
    """The id of the last entry. What an interrupted turn wrote after it is left out."""


@frozen(kw_only=True)
class Launch:
    """One start of Claude Code. Two equal ones can share a process."""

    system_prompt: str
    """The system prompt. It goes through a file: a command line is public and bounded."""
    tools: tuple[ToolSpec, ...] = ()
    """The runner's own tools."""
    model: ModelSettings
    """The model, with the name to ask for."""
    home: Path
    """Its home directory, which keeps the conversations."""
    sandboxed: bool
    """True if its own tools are on."""
    timezone: str = "UTC"
    """The user's zone."""
    tools_socket: Path | None = None
    """The runner's tools for other programs of the sandbox."""
    mcp_servers: Mapping[str, McpServer] = field(factory=dict)
    """The agent's own MCP servers, which Claude Code runs. None without a sandbox."""

    @property
    def servers_file(self) -> Path:
        """The file with the MCP servers. A command line is public, and their variables may be secret."""
        return self.home / "mcp-servers.json"

    def servers(self) -> Mapping[str, object]:
        """Return the content of that file. Our own server is no process: the SDK passes its calls on."""
        own = {SERVER: {"type": "sdk", "name": SERVER}}
        others = {name: _server(each) for name, each in self.mcp_servers.items() if name != SERVER}
        return {"mcpServers": {**others, **own}}

    @property
    def prompt_file(self) -> Path:
        """The file that carries the system prompt."""
        return self.home / "system-prompt.txt"


def command(program: Path, launch: Launch, position: Position | None) -> list[str]:
    """Return the command line."""
    ours = [f"mcp__{SERVER}__{tool.name}" for tool in launch.tools]
    return [
        str(program),
        *("--output-format", "stream-json", "--input-format", "stream-json", "--verbose"),
        "--include-partial-messages",
        *("--system-prompt-file", str(launch.prompt_file)),
        *("--mcp-config", str(launch.servers_file), "--strict-mcp-config"),
        *("--setting-sources=", "--settings", SETTINGS),
        *("--max-turns", str(launch.model.max_turn_steps)),
        *(("--model", launch.model.name) if launch.model.name else ()),
        *_permissions(ours, sandboxed=launch.sandboxed),
        *((f"--resume={position.session}", f"--resume-session-at={position.at}") if position else ()),
    ]


def _server(server: McpServer) -> Mapping[str, object]:
    if server.command:
        return {"command": server.command, "args": list(server.args), "env": dict(server.env)}
    return {"type": "http", "url": server.url, "headers": dict(server.headers)}


def _permissions(ours: Sequence[str], *, sandboxed: bool) -> Sequence[str]:
    """Return the flags that decide about tools. Without a sandbox, none of Claude Code's own exists."""
    if sandboxed:
        return ("--tools", ",".join(OWN_TOOLS), "--permission-mode", "bypassPermissions")
    allowed = ("--allowedTools", ",".join(ours)) if ours else ()
    return ("--tools", "", *allowed, "--permission-mode", "dontAsk")


def environment(launch: Launch, url: str, key: str) -> dict[str, str]:
    """Return all variables of Claude Code. `key` is the forwarder's; there is no other one here."""
    model, kept = launch.model, (*KEPT, *(VARIABLES if launch.sandboxed else ()))
    return {
        **{name: os.environ[name] for name in kept if name in os.environ},
        **QUIET,
        **BOUNDED,
        "HOME": str(launch.home),
        "TZ": launch.timezone,
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_API_KEY": key,
        "API_TIMEOUT_MS": str(int(model.timeout_s * 1000)),
        "CLAUDE_CODE_MAX_OUTPUT_TOKENS": str(model.max_tokens),
        "CLAUDE_CODE_ENTRYPOINT": "sdk-py",
        **(dict.fromkeys(OTHER_MODELS, model.name) if model.name else {}),
        **({"IS_SANDBOX": "1"} if launch.sandboxed else {}),
        **({"NANOCLAW_TOOLS_SOCKET": str(launch.tools_socket)} if launch.tools_socket else {}),
    }
