"""MCP servers of an agent: real ones of the SDK on stdio and HTTP, and those that misbehave."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from agent_runner.mcp_client import servers as module
from agent_runner.mcp_client import stdio
from agent_runner.mcp_client.naming import LONGEST_NAME, tool_name
from agent_runner.providers.mcp_servers import McpServer
from tests.runner.sandboxes import Call, Sandbox, is_alive
from tests.runner.world import World

PROGRAM = Path(__file__).with_name("mcp_program.py")


def program(mode: str, **variables: str) -> McpServer:
    return McpServer(sys.executable, (str(PROGRAM), mode), variables)


@pytest.fixture
def sandbox(world: World, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """A sandbox whose runner waits for its servers before the first turn."""
    monkeypatch.setattr(module, "WAIT_S", 50.0)
    return Sandbox(world)


def events(sandbox: Sandbox, name: str) -> list[Mapping[str, object]]:
    """Return the events of this name in the runner's log."""
    return [event for event in map(json.loads, sandbox.lines) if event["event"] == name]


def errors(sandbox: Sandbox) -> list[str]:
    """Return the errors that people can read."""
    rows = sandbox.world.out("SELECT data FROM events WHERE kind = 'error'")
    return [json.loads(str(data))["reason"] for (data,) in rows]


@asynccontextmanager
async def web_server() -> AsyncGenerator[str]:
    """Run the server on loopback while the block runs. Yield its address."""
    process = await trio.lowlevel.open_process(
        [sys.executable, str(PROGRAM), "web"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield (await process.stdout.receive_some(1000)).decode().strip()
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            await process.stdout.aclose()
            assert process.stdin is not None
            await process.stdin.aclose()


def is_picture(path: str) -> bool:
    return Path(path).read_bytes().startswith(b"\x89PNG")


async def use(sandbox: Sandbox, server: str) -> None:
    """Call all kinds of tools of a good server."""
    calls: list[tuple[str, Mapping[str, object]]] = [
        ("add", {"a": 1, "b": 2}),
        ("add", {"a": "one", "b": 2}),
        ("picture", {}),
        ("structured", {}),
        ("refuse", {}),
    ]
    added, wrong, picture, structured, refused = await sandbox.calls(
        *((f"mcp__{server}__{name}", arguments) for name, arguments in calls)
    )
    assert added == "3"
    assert wrong == "! the argument 'a' must be a number"
    assert picture.startswith("[image/png, 14 bytes, stored as ")
    assert is_picture(picture.rpartition(" ")[2].rstrip("]"))
    assert structured == '{"answer": 42}'
    assert refused == "! no, thanks"


async def test_tools_of_a_program_can_be_called(sandbox: Sandbox) -> None:
    sandbox.servers = {"mine": program("good")}
    await use(sandbox, "mine")
    assert ["tools are left out: tool 'mcp__mine__bad'" in text for text in errors(sandbox)] == [True]


# The SDK leaves generators of a stream unfinished, which trio reports when they are collected.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_tools_of_an_address_can_be_called(sandbox: Sandbox) -> None:
    async with web_server() as url:
        sandbox.servers = {"net": McpServer(url=url, headers={"X-Key": "k"})}
        await use(sandbox, "net")


async def test_a_tool_that_is_added_later_appears(sandbox: Sandbox) -> None:
    sandbox.servers = {"mine": program("good")}
    found: list[str] = []

    async def act(call: Call) -> None:
        await call("mcp__mine__more")
        await sandbox.logged("mcp.connected", 2)
        found.append(await call("mcp__mine__extra8"))

    await sandbox.turn(act)
    assert found == ["there is more"]


async def test_a_program_has_its_variables_and_the_way_into_the_web(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NANOCLAW_MODEL_SOCKET", "/secret")
    sandbox.servers = {"mine": program("good", WORD="t")}
    found = await sandbox.calls(
        *(
            ("mcp__mine__environment", {"name": name})
            for name in ("WORD", "HTTPS_PROXY", "NANOCLAW_MODEL_SOCKET")
        )
    )
    assert found == ["t", "http://127.0.0.1:9", "(not set)"]


@pytest.mark.parametrize(
    ("server", "reason"),
    [
        (McpServer("/nonexistent"), "'/nonexistent' cannot be started: No such file or directory"),
        (program("broken"), "it ended with exit code 1; it said: the configuration is missing"),
        (program("endless"), "it sent a message of more than 16 MiB"),
        (program("garbage"), "it wrote 101 lines that are no messages"),
        (program("flood"), "it sent more than 1,000 messages in 10 s"),
        (McpServer(url="http://127.0.0.1:1/mcp"), "ConnectError: "),
    ],
    ids=["absent", "broken", "endless", "garbage", "flood", "unreachable"],
)
async def test_a_broken_server_is_reported_once_and_left_out(
    sandbox: Sandbox, server: McpServer, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAITS_S", (0.0, 0.0))
    monkeypatch.setattr(stdio, "MOST_MESSAGES", 1_000)
    sandbox.servers = {"bad": server}
    tried: list[str] = []

    async def act(call: Call) -> None:
        await sandbox.logged("mcp.left_out")
        tried.append(await call("bash", command="echo the turn goes on"))
        tried.append(await call("get_status"))

    await sandbox.turn(act)
    assert tried[0] == "the turn goes on\n[exit code 0]"
    assert f"Tool server bad: does not work: {reason}" in tried[1]
    assert len(events(sandbox, "mcp.failed")) == 2
    assert [text.startswith(f"MCP server 'bad': {reason}") for text in errors(sandbox)] == [True]


async def test_a_silent_server_delays_the_first_turn_for_a_moment_only(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAIT_S", 0.1)
    sandbox = Sandbox(world, {"silent": program("silent")})
    assert "Tool server silent: starting" in await sandbox.call("get_status")


async def test_nothing_of_a_server_outlives_the_runner(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAIT_S", 0.1)
    sandbox = Sandbox(world, {"silent": program("silent", PIDS=str(world.root / "pids"))})
    os.mkfifo(world.root / "pids")
    pids: list[int] = []

    async def act(_: Call) -> None:
        pids.extend(map(int, (await trio.Path(world.root / "pids").read_text()).split()))
        assert all(map(is_alive, pids))

    await sandbox.turn(act)
    assert len(pids) == 2
    assert not any(map(is_alive, pids))


async def test_a_server_that_dies_is_started_again(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITS_S", (0.0, 0.0))
    sandbox.servers = {"mine": program("good")}
    found: list[str] = []

    async def act(call: Call) -> None:
        found.append(await call("mcp__mine__die"))
        await sandbox.logged("mcp.connected", 2)
        found.append(await call("mcp__mine__add", a=2, b=2))

    await sandbox.turn(act)
    assert found == ["! the tool server failed: Connection closed", "4"]
    assert "it ended with exit code 3" in str(events(sandbox, "mcp.failed"))


async def test_a_server_that_writes_errors_for_ever_works(sandbox: Sandbox) -> None:
    sandbox.servers = {"mine": program("chatty")}
    assert await sandbox.call("mcp__mine__add", a=1, b=1) == "2"


async def test_a_huge_schema_is_left_out_alone(sandbox: Sandbox) -> None:
    sandbox.servers = {"mine": program("huge")}
    found = await sandbox.call("mcp__mine__big")
    assert "mcp__mine__small" in found
    assert "its schema has 1,000,037 characters" in errors(sandbox)[0]


async def test_without_a_sandbox_no_server_starts(world: World) -> None:
    sandbox = Sandbox(world, {"mine": program("good")}, sandboxed=False)
    assert "there is no tool 'mcp__mine__add'" in await sandbox.call("mcp__mine__add")
    assert [event["servers"] for event in events(sandbox, "mcp.not_started")] == [["mine"]]


def test_long_names_stay_apart() -> None:
    first, second = tool_name("a b", "x" * 100), tool_name("a b", "x" * 101)
    assert first.startswith("mcp__a_b__xxx")
    assert len(first) == len(second) == LONGEST_NAME
    assert first != second
