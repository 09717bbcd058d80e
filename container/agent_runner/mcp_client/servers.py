"""Keeps the MCP servers of a session connected, and their tools registered.

A server that fails is reported once and tried again, ever more rarely. After a few failures it is left out
until the runner starts again. Its tools are offered while it is connected.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

import trio
from attrs import define, field

from agent_runner.background import background
from agent_runner.errors import RunnerError, ToolRegistrationError
from agent_runner.events import StoredEvents
from agent_runner.foreign import describe, foreign_code
from agent_runner.mcp_client.errors import ToolServerError
from agent_runner.mcp_client.naming import as_tool, tool_name
from agent_runner.prompt.markup import plain
from agent_runner.providers import RunsMcpServers, Tool, ToolRegistry
from agent_runner.providers.mcp_servers import McpServer
from agent_runner.sandbox.output import OUTPUTS, make_room
from agent_runner.session import Session

if TYPE_CHECKING:  # they need the package mcp
    import mcp_types

    from agent_runner.mcp_client.connection import Connection

WAIT_S = 3.0
"""Seconds that a runner waits for its servers before the first turn. Tools that come later appear later."""
WAITS_S = (1.0, 5.0, 30.0, 120.0)
"""Seconds before each new try. After the last one fails, too, the server is left out."""
STEADY_S = 300.0
"""Seconds of connection after which earlier failures do not count any more."""
LONGEST_CALL_S = 610.0
"""Seconds after which a call is given up, after the limit of the connection itself."""
REFRESH_S = 2.0
"""Seconds between two lists of a server's tools, however often it says that they have changed."""
LONGEST_REASON = 500
MOST_FILES = 50
"""Files of results that are kept in the workspace."""
ABSENT = "the package mcp is not installed where the runner runs; run `pip install 'nanoclaw[mcp]'`"


@asynccontextmanager
async def serve_mcp(session: Session, tools: ToolRegistry) -> AsyncGenerator[None]:
    """Run the session's MCP servers while the block runs, in a sandbox and unless the provider runs them."""
    servers = session.config.mcp_servers
    if not session.config.sandboxed:
        reason = "MCP servers run only in a sandbox"
        session.seams.log("mcp.not_started", level="warning", servers=sorted(servers), reason=reason)
    if not session.config.sandboxed or isinstance(session.seams.provider, RunsMcpServers):
        yield
        return
    kept = [_Kept(session, tools, name, server) for name, server in sorted(servers.items())]
    async with background(partial(_keep_all, kept)):
        with trio.move_on_after(WAIT_S):
            for each in kept:
                await each.settled.wait()
        yield


async def _keep_all(kept: list["_Kept"]) -> None:
    async with trio.open_nursery() as nursery:
        for each in kept:
            nursery.start_soon(each.keep)


@define(eq=False)
class _Kept:
    """One server."""

    _session: Session
    _registry: ToolRegistry
    _name: str
    _server: McpServer
    settled: trio.Event = field(factory=trio.Event, init=False)
    """Set when the first attempt has ended, well or not."""
    _offered: dict[str, Tool] = field(factory=dict, init=False)
    _reported: set[str] = field(factory=set, init=False)

    async def keep(self) -> None:
        """Connect, again and again, until there were too many failures."""
        failures = 0
        self._state = "starting"
        while True:
            since = trio.current_time()
            reason = await self._attempt()
            self._withdraw(list(self._offered))
            failures = 1 if trio.current_time() - since > STEADY_S else failures + 1
            is_last = failures > len(WAITS_S)
            await self._report(reason, is_last=is_last)
            self.settled.set()
            if is_last:
                return
            await trio.sleep(WAITS_S[failures - 1])

    async def _attempt(self) -> str:
        """Serve a connection to its end. Return why it ended."""
        try:
            from agent_runner.mcp_client.connection import connected  # noqa: PLC0415 -- an extra, 0.6 s
        except ImportError:
            return ABSENT
        workspace, mark = self._session.config.workspace, self._session.seams.new_id("mcp")
        try:
            with foreign_code(ToolServerError, Exception):
                async with connected(self._server, str(workspace), mark, self._save) as connection:
                    await self._serve(connection)
        except ToolServerError as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 -- code of others: the SDK, and what a server makes it do
            return describe(error)
        return "it ended"

    async def _serve(self, connection: "Connection") -> None:
        """Offer the server's tools until it ends. Raises ToolServerError."""
        await self._offer(connection)
        self.settled.set()
        while True:
            news = await connection.news.take()
            if news.ended:
                raise ToolServerError("it ended")
            if news.failed:
                await connection.check()
            if news.tools_changed:
                await self._offer(connection)
                await trio.sleep(REFRESH_S)

    async def _offer(self, connection: "Connection") -> None:
        wanted: dict[str, Tool] = {}
        problems: list[str] = []
        for each in await connection.tools():
            try:
                made = self._made(connection, each)
            except ToolRegistrationError as error:
                problems.append(str(error))
            else:
                if wanted.setdefault(made.spec.name, made) is not made:
                    problems.append(f"tool {made.spec.name!r}: there are two of this name")
        gone = [name for name, tool in self._offered.items() if _shown(wanted.get(name)) != _shown(tool)]
        self._withdraw(gone)
        for name, tool in wanted.items():
            if name not in self._offered:
                problems += self._add(name, tool)
        self._state = f"{len(self._offered)} {'tool' if len(self._offered) == 1 else 'tools'}" + (
            f", {len(problems)} left out" if problems else ""
        )
        self._session.seams.log("mcp.connected", server=self._name, tools=len(self._offered))
        if problems:
            await self._record(f"tools are left out: {'; '.join(problems[:5])}")

    def _made(self, connection: "Connection", tool: "mcp_types.Tool") -> Tool:
        words = tool.description or tool.title or ""
        run = partial(connection.call, tool.name)
        return as_tool(tool_name(self._name, tool.name), words, tool.input_schema, run, LONGEST_CALL_S)

    def _add(self, name: str, tool: Tool) -> list[str]:
        try:
            self._registry.add(tool)
        except ToolRegistrationError as error:
            return [str(error)]
        self._offered[name] = tool
        return []

    def _withdraw(self, names: list[str]) -> None:
        for name in names:
            del self._offered[name]
            with suppress(ToolRegistrationError):  # the provider may have removed it
                self._registry.remove(name)

    # -- reports -----------------------------------------------------------------------

    @property
    def _state(self) -> str:
        return self._session.tool_servers[self._name]

    @_state.setter
    def _state(self, words: str) -> None:
        self._session.tool_servers[self._name] = words

    async def _report(self, reason: str, *, is_last: bool) -> None:
        words = " ".join(plain(reason).split())[:LONGEST_REASON]
        self._state = f"does not work: {words}"
        end = "mcp.left_out" if is_last else "mcp.failed"
        self._session.seams.log(end, level="warning", server=self._name, reason=words)
        await self._record(words)

    async def _record(self, words: str) -> None:
        """Record a problem for people, once."""
        if words in self._reported:
            return
        self._reported.add(words)
        session = self._session
        events = StoredEvents(session.outbound, session.seams.clock, session.usage)
        reason = f"MCP server {self._name!r}: {words}"[: 4 * LONGEST_REASON]
        with suppress(RunnerError):  # the turns meet it, too
            await events.record("error", {"reason": reason})

    def _save(self, data: bytes, suffix: str) -> str:
        folder = self._session.config.workspace / OUTPUTS
        folder.mkdir(exist_ok=True)
        make_room(folder, "mcp-*", MOST_FILES)
        path = folder / f"{self._session.seams.new_id('mcp')}{suffix}"
        with path.open("xb") as file:
            file.write(data)
        return str(path)


def _shown(tool: Tool | None) -> object:
    return tool and tool.spec
