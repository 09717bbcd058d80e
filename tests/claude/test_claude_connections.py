"""Claude Code connects to the forwarder of its runner, and to nothing else. strace sees every attempt."""

import re
import shutil
from pathlib import Path

import pytest

from agent_runner.providers.claude import start
from nanoclaw.testing.models import ModelAnswer, ModelCall, ModelRequest
from tests.claude.world import ClaudeWorld, variables

pytestmark = pytest.mark.skipif(
    shutil.which("strace") is None, reason="strace is not installed: apt-get install strace"
)
SEND = "mcp__nanoclaw__send_message"
INET = re.compile(r'sa_family=AF_INET6?, sin6?_port=htons\((\d+)\).*?"([^"]+)"')


def traced(folder: Path) -> Path:
    """Return a program that runs Claude Code under strace, which writes `trace` beside it."""
    wrapper = folder / "traced"
    strace = f"strace -f -qq -e trace=connect,sendto,sendmsg,sendmmsg -o {folder / 'trace'}"
    wrapper.write_text(f'#!/bin/sh\nexec {strace} {start.PROGRAM} "$@"\n')
    wrapper.chmod(0o700)
    return wrapper


def peers(folder: Path) -> set[tuple[str, int]]:
    """Return the addresses of the internet that were named in the trace."""
    return {(address, int(port)) for port, address in INET.findall((folder / "trace").read_text())}


async def talk(world: ClaudeWorld, call: ModelCall) -> int:
    """Have a message answered with a call of a tool. Return the port of the forwarder."""

    def answer(request: ModelRequest) -> ModelAnswer:
        return ModelAnswer("done") if "tool_result" in str(request.messages) else ModelAnswer("", [call])

    async with world.behind(answer), world.claude():
        await world.until_acked(world.put(2, "hello"))
        [url] = {variables(pid)["ANTHROPIC_BASE_URL"] for pid in world.processes}
    return int(url.split(":")[2].partition("/")[0])


async def test_it_connects_to_the_forwarder_only(
    world: ClaudeWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "PROGRAM", traced(tmp_path))
    port = await talk(world, ModelCall(SEND, {"text": "x"}))
    assert peers(tmp_path) == {("127.0.0.1", port)}


async def test_the_trace_sees_other_connections(
    world: ClaudeWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.sandboxed = True
    monkeypatch.setattr(start, "PROGRAM", traced(tmp_path))
    connect = "timeout 0.5 bash -c 'exec 3<>/dev/tcp/192.0.2.1/80'; true"
    port = await talk(world, ModelCall("Bash", {"command": connect, "description": "connect"}))
    assert peers(tmp_path) == {("127.0.0.1", port), ("192.0.2.1", 80)}
