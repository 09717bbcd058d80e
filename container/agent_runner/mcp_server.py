"""An MCP server on stdio with the tools of the session: `python -m agent_runner.mcp_server`.

Any MCP client in the sandbox can start it. It forwards to the runner's socket, `NANOCLAW_TOOLS_SOCKET`.
It needs the package `mcp` (`pip install 'nanoclaw[mcp]'`).
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import trio

from agent_runner.providers.toolbox import ToolSpec
from agent_runner.sockets.unix import connect

VARIABLE = "NANOCLAW_TOOLS_SOCKET"
LONGEST_ANSWER = 16 * 1024 * 1024
"""Bytes of an answer of the runner."""


async def ask(socket: Path, request: Mapping[str, object]) -> Mapping[str, Any]:
    """Send a request to the runner. An error of the connection is an answer with `error`."""
    try:
        async with await connect(socket) as stream:
            await stream.send_all(json.dumps(request).encode() + b"\n")
            answer = bytearray()
            while not answer.endswith(b"\n") and (data := await stream.receive_some(64 * 1024)):
                answer += data
                if len(answer) > LONGEST_ANSWER:
                    return {"error": "the runner's answer is too large"}
        found: Mapping[str, Any] = json.loads(answer)
    except (OSError, trio.BrokenResourceError, ValueError) as error:
        return {"error": f"the runner cannot be asked: {error}"}
    return found


async def serve(socket: Path) -> None:
    """Serve MCP on stdin and stdout until the client leaves."""
    from mcp.server.stdio import stdio_server  # noqa: PLC0415 -- an extra, which takes 0.6 s

    from agent_runner.mcp_tools import Called, tool_server  # noqa: PLC0415 -- it needs that extra

    async def list_tools() -> Sequence[ToolSpec]:
        answer = await ask(socket, {"list": {}})
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return [ToolSpec(**tool) for tool in answer["tools"]]

    async def call_tool(name: str, arguments: Mapping[str, object]) -> Called:
        answer = await ask(socket, {"call": {"name": name, "arguments": arguments}})
        return Called(answer["error"], failed=True) if "error" in answer else Called(answer["text"])

    server = tool_server(list_tools, call_tool)
    async with stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())


def main() -> int:
    """Serve, and return the exit code."""
    socket = os.environ.get(VARIABLE)
    if not socket:
        return _fail(f"{VARIABLE} is not set; the runner sets it for programs that it starts in a sandbox")
    if find_spec("mcp") is None:
        return _fail("the package mcp is not installed; run `pip install 'nanoclaw[mcp]'`")
    trio.run(serve, Path(socket))
    return 0


def _fail(reason: str) -> int:
    sys.stderr.write(f"agent_runner.mcp_server: {reason}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
