"""The MCP server on stdio, as a real process, with the official client."""

import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
from attrs import evolve

pytest.importorskip("mcp", reason="the extra mcp is not installed")

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp_types import TextContent

from agent_runner.providers import Toolbox
from agent_runner.records import Reply, Result, Turn
from agent_runner.runner import run_runner
from tests.runner.world import Script, World

COMMAND = ("-m", "agent_runner.mcp_server")
PACKAGES = str(Path(__file__).parents[2] / "container")


async def during_a_turn(world: World, talk: Callable[[ClientSession], Awaitable[None]]) -> None:
    """Talk to the server, which a program of the agent has started, while a turn is running."""

    async def act(turn: Turn, _: Toolbox) -> Result:
        socket = world.config.outbound_db.parent / ".tools.sock"
        variables = {"PATH": os.environ["PATH"], "PYTHONPATH": PACKAGES, "NANOCLAW_TOOLS_SOCKET": str(socket)}
        server = StdioServerParameters(command=sys.executable, args=list(COMMAND), env=variables)
        async with stdio_client(server) as streams, ClientSession(*streams) as client:
            await client.initialize()
            await talk(client)
        return Result((Reply("done", turn.messages[0].id),))

    config = evolve(world.config, sandboxed=True)
    id_ = world.put(2)
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_runner, config, world.seams(Script(act)))
            await world.until_acked(id_)
            nursery.cancel_scope.cancel()


async def test_a_client_lists_and_calls_the_tools(world: World) -> None:
    async def talk(client: ClientSession) -> None:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert tools["send_message"].input_schema["required"] == ["text"]
        called = await client.call_tool("send_message", {"text": "from outside"})
        [content] = called.content
        assert isinstance(content, TextContent)
        assert "sent as message" in content.text
        assert not called.is_error

    await during_a_turn(world, talk)
    assert world.texts() == ["from outside", "done"]


async def test_a_refused_call_is_an_error_result(world: World) -> None:
    async def talk(client: ClientSession) -> None:
        called = await client.call_tool("send_message", {"text": "x", "to": "nobody"})
        [content] = called.content
        assert isinstance(content, TextContent)
        assert called.is_error
        assert "there is no destination 'nobody'" in content.text

    await during_a_turn(world, talk)
    assert world.texts() == ["done"]


def test_without_the_socket_it_says_what_is_missing() -> None:
    variables = {"PATH": os.environ["PATH"], "PYTHONPATH": PACKAGES}
    ended = subprocess.run(
        [sys.executable, *COMMAND], env=variables, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert "NANOCLAW_TOOLS_SOCKET is not set" in ended.stderr
