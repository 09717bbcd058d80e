"""An MCP server over a list of tools. It needs the package `mcp`, so it is imported where it is used."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from attrs import frozen
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
)
from mcp_types import Tool as McpTool

from agent_runner.providers.toolbox import ToolSpec

NAME = "nanoclaw"


@frozen
class Called:
    """The result of a call, in words."""

    text: str
    failed: bool = False


ListTools = Callable[[], Awaitable[Sequence[ToolSpec]]]
CallTool = Callable[[str, Mapping[str, object]], Awaitable[Called]]


def tool_server(list_tools: ListTools, call_tool: CallTool) -> Server[dict[str, object]]:
    """Return a server with these tools. Arguments are checked by `call_tool`, not by the server."""

    async def on_list(
        _: ServerRequestContext[dict[str, object]], __: PaginatedRequestParams | None
    ) -> ListToolsResult:
        return ListToolsResult(tools=[_described(spec) for spec in await list_tools()])

    async def on_call(
        _: ServerRequestContext[dict[str, object]], params: CallToolRequestParams
    ) -> CallToolResult:
        called = await call_tool(params.name, params.arguments or {})
        return CallToolResult(content=[TextContent(type="text", text=called.text)], is_error=called.failed)

    return Server(NAME, on_list_tools=on_list, on_call_tool=on_call)


def _described(spec: ToolSpec) -> McpTool:
    return McpTool(name=spec.name, description=spec.description, input_schema=dict(spec.parameters))
