"""The runner's tools for Claude Code: an MCP server inside this process.

The SDK calls the tools in tasks of its own. Here they run in the nursery of their turn, so that they end with
it, and so that a failing database ends it.
"""

from collections.abc import Mapping, Sequence

import trio
from attrs import define, field
from claude_agent_sdk.types import McpSdkServerConfig

from agent_runner.errors import ToolError
from agent_runner.mcp_tools import Called, tool_server
from agent_runner.providers import Toolbox, ToolSpec
from agent_runner.providers.claude.launch import SERVER
from agent_runner.sockets.tools import cut

TURN_ENDED = Called("the turn ended before the tool did", failed=True)


@define(eq=False)
class _Call:
    """A call in progress. It has failed until it succeeds."""

    outcome: Called = TURN_ENDED
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

        async def listed() -> Sequence[ToolSpec]:
            await trio.lowlevel.checkpoint()
            return specs

        return McpSdkServerConfig(type="sdk", name=SERVER, instance=tool_server(listed, self._call))

    async def _call(self, name: str, arguments: Mapping[str, object]) -> Called:
        if self._nursery is None or self._toolbox is None:
            return Called("no turn is running", failed=True)
        call = _Call()
        self.used = True
        self._nursery.start_soon(_perform, self._toolbox, name, arguments, call)
        await call.done.wait()
        return call.outcome


async def _perform(toolbox: Toolbox, name: str, arguments: Mapping[str, object], call: _Call) -> None:
    try:
        call.outcome = Called(cut(await toolbox.call(name, arguments)))
    except ToolError as error:
        call.outcome = Called(str(error), failed=True)
    finally:
        call.done.set()
