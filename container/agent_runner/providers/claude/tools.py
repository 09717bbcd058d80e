"""The runner's tools for Claude Code: an MCP server inside this process.

The SDK calls the tools in tasks of its own. Here they run in the nursery of their turn, so that they end with
it, and so that a failing database ends it.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import trio
from attrs import define, field
from claude_agent_sdk import SdkMcpTool, create_sdk_mcp_server
from claude_agent_sdk.types import McpSdkServerConfig

from agent_runner.errors import ToolError
from agent_runner.providers import Toolbox, ToolSpec
from agent_runner.providers.claude.launch import SERVER

LONGEST_RESULT = 100_000
"""Characters of a result that a model gets."""


@define(eq=False)
class _Call:
    """A call in progress. Its text is an error until it has succeeded."""

    text: str = "the turn ended before the tool did"
    failed: bool = True
    done: trio.Event = field(factory=trio.Event)


@define(eq=False)
class TurnTools:
    """The tools of the turn that runs now; between turns there are none."""

    _nursery: trio.Nursery | None = field(default=None, init=False)
    _toolbox: Toolbox | None = field(default=None, init=False)
    used: bool = field(default=False, init=False)
    """True if the turn has called a tool, so that it must not be repeated from its start."""

    def begin(self, nursery: trio.Nursery, toolbox: Toolbox) -> None:
        """Run the calls in the nursery of this turn."""
        self._nursery, self._toolbox, self.used = nursery, toolbox, False

    def end(self) -> None:
        """Refuse calls from now on."""
        self._nursery = self._toolbox = None

    def server(self, specs: Sequence[ToolSpec]) -> McpSdkServerConfig:
        """Return an MCP server with these tools."""
        return create_sdk_mcp_server(SERVER, tools=[self._tool(spec) for spec in specs])

    def _tool(self, spec: ToolSpec) -> SdkMcpTool[Any]:
        call = partial(self._call, spec.name)
        return SdkMcpTool(spec.name, spec.description, dict(spec.parameters), call)

    async def _call(self, name: str, arguments: Mapping[str, object]) -> dict[str, Any]:
        if self._nursery is None or self._toolbox is None:
            return _result("no turn is running", failed=True)
        call = _Call()
        self.used = True
        self._nursery.start_soon(_perform, self._toolbox, name, arguments, call)
        await call.done.wait()
        return _result(call.text, failed=call.failed)


async def _perform(toolbox: Toolbox, name: str, arguments: Mapping[str, object], call: _Call) -> None:
    try:
        call.text = _bounded(await toolbox.call(name, arguments))
        call.failed = False
    except ToolError as error:
        call.text = str(error)
    finally:
        call.done.set()


def _bounded(text: str) -> str:
    if len(text) <= LONGEST_RESULT:
        return text
    half = LONGEST_RESULT // 2
    return f"{text[:half]}\n[… {len(text) - 2 * half:,} characters left out …]\n{text[-half:]}"


def _result(text: str, *, failed: bool) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": text}], "is_error": failed}
