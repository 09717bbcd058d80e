"""The session's tools on a unix socket, for other programs of the sandbox, such as our MCP server.

A connection sends lines of JSON and gets one line for each, in order:

    {"list": {}}                                  -> {"tools": [{"name", "description", "parameters"}, ...]}
    {"call": {"name": "...", "arguments": {}}}    -> {"text": "..."} or {"error": "..."}

A call belongs to the turn that is running. The turn's toolbox checks it, records it and limits its time, and
the call ends with the turn. Between turns calls are refused. Only a sandboxed runner has the socket: there,
whoever can reach it could write the session's files, too.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import trio
from attrs import define, field

from agent_runner.background import background
from agent_runner.config import RunnerConfig
from agent_runner.errors import RunnerError, ToolError
from agent_runner.log import Log
from agent_runner.providers import ToolRegistry, ToolSpec
from agent_runner.providers.toolbox import SANDBOX_TOOLS
from agent_runner.sockets.unix import listening
from agent_runner.tools.toolbox import TurnToolbox

NAME = ".tools.sock"
"""The name of the socket in the folder of outbound.db."""
LONGEST_LINE = 1024 * 1024
"""Bytes of a request."""
LONGEST_RESULT = 100_000
"""Characters of a result; the rest is cut off with a note."""
MOST_CONNECTIONS = 16
CHUNK = 64 * 1024
NO_TURN = "no turn is running, so no tool can be called now"
TURN_ENDED = "the turn ended before the tool did"


@define(eq=False)
class ToolSocket:
    """The tools of a session, and the toolbox of the turn that is running."""

    _registry: ToolRegistry
    _toolbox: TurnToolbox | None = field(default=None, init=False)
    _calls: set[trio.CancelScope] = field(factory=set, init=False)
    _call_ended: trio.Event = field(factory=trio.Event, init=False)
    _connections: int = field(default=0, init=False)

    @asynccontextmanager
    async def turn(self, toolbox: TurnToolbox) -> AsyncGenerator[None]:
        """Take calls for this turn while the block runs. None is running after it."""
        self._toolbox = toolbox
        try:
            yield
        finally:
            self._toolbox = None
            with trio.CancelScope(shield=True):
                await self._end_calls()

    async def _end_calls(self) -> None:
        for scope in self._calls:
            scope.cancel()
        while self._calls:
            await self._call_ended.wait()

    async def serve(self, stream: trio.SocketStream) -> None:
        """Answer one connection until it ends."""
        self._connections += 1
        try:
            async with stream:
                with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                    await self._answer_all(stream)
        finally:
            self._connections -= 1

    async def _answer_all(self, stream: trio.SocketStream) -> None:
        if self._connections > MOST_CONNECTIONS:
            await _send(stream, {"error": f"there are {MOST_CONNECTIONS} connections already"})
            return
        async for line in _lines(stream):
            await _send(stream, await self._answer(line))

    async def _answer(self, line: bytes) -> Mapping[str, object]:
        match _parsed(line):
            case {"list": _}:
                specs = (spec for spec in self._registry.specs if spec.name not in SANDBOX_TOOLS)
                return {"tools": [_described(spec) for spec in specs]}
            case {"call": {"name": str(name), "arguments": {**arguments}}}:
                return await self._call(name, {str(key): value for key, value in arguments.items()})
            case _:
                return {"error": 'expected {"list": {}} or {"call": {"name": text, "arguments": object}}'}

    async def _call(self, name: str, arguments: Mapping[str, object]) -> Mapping[str, object]:
        toolbox = self._toolbox
        if toolbox is None:
            return {"error": NO_TURN}
        if name in SANDBOX_TOOLS:  # bash runs one command at a time, so one in another would never end
            return {"error": f"{name} is a tool of the agent loop alone"}
        answer: Mapping[str, object] = {"error": TURN_ENDED}
        with trio.CancelScope() as scope:
            self._calls.add(scope)
            try:
                answer = {"text": cut(await toolbox.call(name, arguments))}
            except ToolError as error:
                answer = {"error": str(error)}
            except RunnerError as error:  # the turn meets it, too, at its commit
                answer = {"error": f"the session's files cannot be used: {error}"}
            finally:
                self._calls.discard(scope)
                self._call_ended.set()
                self._call_ended = trio.Event()
        return answer


def tool_socket_path(config: RunnerConfig) -> Path | None:
    """Return the path of the socket. None: the runner is not in a sandbox, and has none."""
    return config.outbound_db.parent / NAME if config.sandboxed else None


@asynccontextmanager
async def serve_tools(config: RunnerConfig, tools: ToolSocket, log: Log) -> AsyncGenerator[None]:
    """Serve the socket while the block runs, if the runner is in a sandbox. Without it, turns go on."""
    path = tool_socket_path(config)
    if path is None:
        yield
        return
    async with AsyncExitStack() as stack:
        try:
            listener = await stack.enter_async_context(listening(path))
        except OSError as error:
            log("tools.unavailable", level="warning", path=str(path), reason=str(error))
        else:
            serve = partial(trio.serve_listeners, tools.serve, [listener])
            await stack.enter_async_context(background(serve))
        yield


def cut(text: str) -> str:
    """Return a result without what is too long for a model."""
    if len(text) <= LONGEST_RESULT:
        return text
    return f"{text[:LONGEST_RESULT]}\n[{len(text) - LONGEST_RESULT:,} more characters are cut off]"


def _described(spec: ToolSpec) -> Mapping[str, object]:
    return {"name": spec.name, "description": spec.description, "parameters": spec.parameters}


def _parsed(line: bytes) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


async def _send(stream: trio.SocketStream, answer: Mapping[str, object]) -> None:
    await stream.send_all(json.dumps(answer).encode() + b"\n")


async def _lines(stream: trio.SocketStream) -> AsyncIterator[bytes]:
    """Yield the lines of a connection. One that is too long ends it."""
    waiting = bytearray()
    while data := await stream.receive_some(CHUNK):
        waiting += data
        *lines, rest = waiting.split(b"\n") if b"\n" in data else [waiting]
        waiting = bytearray(rest)
        for line in lines:
            yield bytes(line)
        if len(waiting) > LONGEST_LINE:
            await _send(stream, {"error": f"a request has more than {LONGEST_LINE:,} bytes"})
            return
