"""The tools of an agent in a real sandbox, from the message to the answer."""

import json
import sys
from pathlib import Path

import pytest

from nanoclaw.records import TextContent
from nanoclaw.testing import FakeChannel
from tests.sandbox.hosts import sandboxed

pytestmark = pytest.mark.slow

SERVER = """
import trio
from agent_runner.mcp_tools import Called, tool_server
from agent_runner.providers import ToolSpec
from mcp.server.stdio import stdio_server

async def tools():
    return [ToolSpec("shout", "Shout.", {"type": "object", "properties": {"text": {"type": "string"}}})]

async def call(name, arguments):
    return Called(arguments["text"].upper())

async def main():
    server = tool_server(tools, call)
    async with stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())

trio.run(main)
"""


def texts(channel: FakeChannel) -> list[str]:
    return [each.content.text for each in channel.sent if isinstance(each.content, TextContent)]


async def said(channel: FakeChannel, number: int, tool: str, **arguments: object) -> str:
    """Have the provider `echo` call a tool, and return the result."""
    await channel.say(f"!{tool} {json.dumps(arguments)}", event_id=str(number))
    await channel.reply_to(str(number))
    return texts(channel)[-1]


async def test_a_shell_files_and_a_search_work_in_bubblewrap(tmp_path: Path) -> None:
    channel = FakeChannel()
    async with sandboxed(tmp_path, channel):
        assert await said(channel, 1, "bash", command="mkdir -p a && cd a && echo hi >b.txt && pwd") == (
            "/workspace/agent/a\n[exit code 0]"
        )
        assert await said(channel, 2, "bash", command="pwd; cat b.txt") == (
            "/workspace/agent/a\nhi\n[exit code 0]"
        )
        assert await said(channel, 3, "read_file", path="/workspace/agent/a/b.txt") == "1\thi"
        assert await said(channel, 4, "write_file", path="c/d.txt", content="duck\n") == (
            "created c/d.txt (5 bytes)"
        )
        assert await said(channel, 5, "search_files", pattern="d.ck") == "c/d.txt:1:duck"
        assert await said(channel, 6, "bash", command="sleep 600 & sleep 600", timeout_s=0.2) == (
            "[killed after 0.2 s, with all that it started; raise timeout_s, or use `&`]"
        )
        assert "is read-only" in await said(
            channel, 7, "write_file", path="/workspace/in/inbox/x", content="x"
        )
        assert "refuse" in await said(channel, 8, "web_fetch", url="https://example.org/")


async def test_an_mcp_server_runs_in_bubblewrap(tmp_path: Path) -> None:
    channel = FakeChannel()
    workspace = tmp_path / "groups" / "main" / "workspace"
    workspace.mkdir(parents=True)
    (workspace / "shouting.py").write_text(SERVER)
    server = {"command": sys.executable, "args": ["/workspace/agent/shouting.py"]}
    container = {"mcpServers": {"loud": server}}
    (workspace.parent / "container.json").write_text(json.dumps(container))
    async with sandboxed(tmp_path, channel):
        number = 2
        while "Tool server loud: 1 tool" not in await said(channel, number, "get_status"):
            number += 1
        assert await said(channel, 1, "mcp__loud__shout", text="quack") == "QUACK"
