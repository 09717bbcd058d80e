"""A connection to an MCP server: its tools, calls of them, and what it announces."""

import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager

import mcp_types
import trio
from attrs import define, field
from mcp.client._transport import TransportStreams
from mcp.client.session import ClientSession, IncomingMessage
from mcp.shared.exceptions import MCPError
from pydantic import ValidationError

from agent_runner.errors import ToolError
from agent_runner.foreign import describe, foreign_code, ungrouped
from agent_runner.mcp_client.errors import ToolServerError
from agent_runner.mcp_client.http import open_address
from agent_runner.mcp_client.results import Save, words_of
from agent_runner.mcp_client.stdio import open_program
from agent_runner.providers.mcp_servers import McpServer

CONNECT_S = 60.0
"""Seconds to start and to introduce itself."""
LIST_S = 30.0
"""Seconds for a page of the list of its tools, and for a sign of life."""
MOST_PAGES = 20
MOST_TOOLS = 128
"""Tools of one server. The others are left out."""
CALL_S = 600.0
"""Seconds for a call."""
CLIENT = mcp_types.Implementation(name="nanoclaw", version="1")
_FAILURES = (MCPError, ValidationError, RuntimeError, ValueError)
"""Errors of the SDK for a server that is gone, refuses, or answers with something else."""


@define(eq=False)
class News:
    """The events of a connection since it was last looked at."""

    tools_changed: bool = False
    ended: bool = False
    failed: bool = False
    """True if a call has failed, so that the connection may be broken."""
    _some: trio.Event = field(factory=trio.Event, init=False)

    def note(self, *, tools_changed: bool = False, ended: bool = False, failed: bool = False) -> None:
        """Note something new."""
        self.tools_changed |= tools_changed
        self.ended |= ended
        self.failed |= failed
        self._some.set()

    async def take(self) -> "News":
        """Wait for news and return them."""
        await self._some.wait()
        taken = News(self.tools_changed, self.ended, self.failed)
        self.tools_changed = self.failed = False
        self._some = trio.Event()
        return taken

    async def hear(self, message: IncomingMessage) -> None:
        """Take what a server announces."""
        await trio.lowlevel.checkpoint()
        if isinstance(message, mcp_types.ToolListChangedNotification):
            self.note(tools_changed=True)


@define(eq=False)
class Connection:
    """A server that has introduced itself."""

    _session: ClientSession
    _save: Save
    news: News

    async def tools(self) -> Sequence[mcp_types.Tool]:
        """Return its tools. Raises ToolServerError."""
        found: list[mcp_types.Tool] = []
        cursor: str | None = None
        for _ in range(MOST_PAGES):
            page = await self._page(cursor)
            found += page.tools
            cursor = page.next_cursor
            if not cursor or len(found) >= MOST_TOOLS:
                break
        return found[:MOST_TOOLS]

    async def _page(self, cursor: str | None) -> mcp_types.ListToolsResult:
        # The session's own methods check results against the server's schemas, with patterns that can hang.
        request = mcp_types.ListToolsRequest(params=mcp_types.PaginatedRequestParams(cursor=cursor))
        try:
            return await self._session.send_request(request, mcp_types.ListToolsResult, LIST_S)
        except _FAILURES as error:
            raise ToolServerError(f"it cannot list its tools: {shortly(error)}") from error

    async def check(self) -> None:
        """Raise ToolServerError if the server does not answer."""
        try:
            with trio.fail_after(LIST_S):
                await self._session.send_ping()
        except (*_FAILURES, trio.TooSlowError) as error:
            raise ToolServerError(f"it does not answer any more: {shortly(error)}") from error

    async def call(self, name: str, arguments: Mapping[str, object]) -> str:
        """Call a tool and return its result in words. Raises ToolError."""
        params = mcp_types.CallToolRequestParams(name=name, arguments=dict(arguments))
        request = mcp_types.CallToolRequest(params=params)
        try:
            with foreign_code(*_FAILURES):
                result = await self._session.send_request(request, mcp_types.CallToolResult, CALL_S)
        except _FAILURES as error:
            self.news.note(failed=True)
            raise ToolError(f"the tool server failed: {shortly(error)}") from error
        words = words_of(result, self._save)
        if result.is_error:
            raise ToolError(words)
        return words


def shortly(error: Exception) -> str:
    """Return an error in a few words. Those of pydantic repeat what they refuse."""
    match error:
        case ValidationError():
            return f"its answer does not fit the protocol ({error.error_count()} errors)"
        case MCPError():
            return error.message[:500] or type(error).__name__
        case _:
            return describe(error)[:500]


@asynccontextmanager
async def connected(server: McpServer, folder: str, mark: str, save: Save) -> AsyncGenerator[Connection]:
    """Connect to a server; disconnect with the block. Raises ToolServerError."""
    _quiet()
    news = News()
    if not server.command:
        async with open_address(server) as streams, _introduced(streams, news, save) as connection:
            yield connection
        return
    async with open_program(server, folder, mark, lambda: news.note(ended=True)) as (program, streams):
        try:
            with ungrouped(ToolServerError, Exception):
                async with _introduced(streams, news, save) as connection:
                    yield connection
        except ToolServerError as error:
            raise ToolServerError(program.because(str(error))) from error


@asynccontextmanager
async def _introduced(streams: TransportStreams, news: News, save: Save) -> AsyncGenerator[Connection]:
    incoming, outgoing = streams
    async with ClientSession(incoming, outgoing, message_handler=news.hear, client_info=CLIENT) as session:
        try:
            with trio.fail_after(CONNECT_S):
                await session.initialize()
        except trio.TooSlowError as error:
            raise ToolServerError(f"it did not introduce itself within {CONNECT_S:.0f} s") from error
        except _FAILURES as error:
            raise ToolServerError(f"it cannot be used: {shortly(error)}") from error
        yield Connection(session, save, news)


def _quiet() -> None:
    """Keep the SDK from writing every bad message to stderr."""
    for name in ("mcp", "httpx2"):
        logger = logging.getLogger(name)
        logger.propagate = False
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())
