"""The session's tools on a socket: lines of JSON, and calls that belong to the turn that is running."""

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import trio
from attrs import evolve

from agent_runner.config import RunnerConfig
from agent_runner.providers import Tool, Toolbox, ToolSpec
from agent_runner.records import Reply, Result, Turn
from agent_runner.runner import run_runner
from agent_runner.sockets.tools import LONGEST_LINE, MOST_CONNECTIONS
from agent_runner.tools.toolbox import TurnToolbox
from tests.runner.world import Script, World

SEND = {"call": {"name": "send_message", "arguments": {"text": "from outside"}}}


def sandboxed(world: World) -> RunnerConfig:
    return evolve(world.config, sandboxed=True)


@asynccontextmanager
async def running(world: World, script: Script) -> AsyncGenerator[None]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_runner, sandboxed(world), world.seams(script))
        with trio.fail_after(30):
            yield
        nursery.cancel_scope.cancel()


async def ask(world: World, *requests: object) -> list[Mapping[str, Any]]:
    """Send requests over one connection and return the answers."""
    async with await trio.open_unix_socket(world.config.outbound_db.parent / ".tools.sock") as stream:
        received = b""
        with suppress(trio.BrokenResourceError):  # it was closed in the middle of a request
            for request in requests:
                line = request if isinstance(request, bytes) else json.dumps(request).encode()
                await stream.send_all(line + b"\n")
            await stream.send_eof()
        with suppress(trio.BrokenResourceError):
            async for data in stream:
                received += bytes(data)
    return [json.loads(line) for line in received.splitlines()]


def asking(world: World, answers: list[Mapping[str, Any]], *requests: object) -> Script:
    """Return a provider whose turn asks the socket."""

    async def act(turn: Turn, _: Toolbox) -> Result:
        answers.extend(await ask(world, *requests))
        return Result((Reply("done", turn.messages[0].id),))

    return Script(act)


async def test_a_call_belongs_to_the_turn_that_is_running(world: World) -> None:
    answers: list[Mapping[str, Any]] = []
    id_ = world.put(2)
    async with running(world, asking(world, answers, SEND)):
        await world.until_acked(id_)
    assert "sent as message" in answers[0]["text"]
    assert world.texts() == ["from outside", "done"]
    [(turns,)] = world.out("SELECT count(DISTINCT turn_id) FROM messages_out")
    assert turns == 1
    assert ("tool started",) in world.out("SELECT kind FROM events")


async def test_the_tools_are_listed_with_their_schemas(world: World) -> None:
    answers: list[Mapping[str, Any]] = []
    id_ = world.put(2)
    async with running(world, asking(world, answers, {"list": {}})):
        await world.until_acked(id_)
    tools = {tool["name"]: tool for tool in answers[0]["tools"]}
    assert tools["send_message"]["parameters"]["required"] == ["text"]


async def test_wrong_requests_are_answered_in_words(world: World) -> None:
    answers: list[Mapping[str, Any]] = []
    wrong = (
        b"no json",
        b"[" * 100_000,
        {"call": {"name": 1, "arguments": {}}},
        {"call": {"name": "send_message", "arguments": {}}},
        {"call": {"name": "no_such_tool", "arguments": {}}},
        SEND,
    )
    id_ = world.put(2)
    async with running(world, asking(world, answers, *wrong)):
        await world.until_acked(id_)
    assert all("error" in answer for answer in answers[:5])
    assert "there is no tool 'no_such_tool'" in answers[4]["error"]
    assert "text" in answers[5]


async def test_a_request_without_an_end_closes_the_connection(world: World) -> None:
    answers: list[Mapping[str, Any]] = []
    id_ = world.put(2)
    async with running(world, asking(world, answers, b"x" * (LONGEST_LINE + 1_000_000))):
        await world.until_acked(id_)
    assert "more than" in answers[0]["error"]


async def test_between_turns_a_call_is_refused(world: World) -> None:
    async def act(_turn: Turn, _tools: Toolbox) -> Result:
        return Result()

    id_ = world.put(2)
    async with running(world, Script(act)):
        await world.until_acked(id_)
        [answer] = await ask(world, SEND)
    assert answer == {"error": "no turn is running, so no tool can be called now"}
    assert world.texts() == []


async def test_a_call_ends_with_its_turn(world: World) -> None:
    begun = trio.Event()
    ended = trio.Event()

    async def hang(_: Mapping[str, object]) -> str:
        begun.set()
        try:
            await trio.sleep_forever()
        finally:
            ended.set()

    answers: list[Mapping[str, Any]] = []

    async def act(turn: Turn, tools: Toolbox) -> Result:
        assert isinstance(tools, TurnToolbox)
        tools._tools.add(Tool(ToolSpec("hang", "hangs", {"type": "object"}), hang))
        nursery.start_soon(later)
        await begun.wait()
        return Result((Reply("done", turn.messages[0].id),))

    async def later() -> None:
        answers.extend(await ask(world, {"call": {"name": "hang", "arguments": {}}}))

    id_ = world.put(2)
    async with running(world, Script(act)), trio.open_nursery() as nursery:
        await world.until_acked(id_)
    assert ended.is_set()
    assert answers == [{"error": "the turn ended before the tool did"}]


async def test_there_is_a_limit_of_connections(world: World) -> None:
    async def act(_turn: Turn, _tools: Toolbox) -> Result:
        return Result()

    id_ = world.put(2)
    path = world.config.outbound_db.parent / ".tools.sock"
    async with running(world, Script(act)):
        await world.until_acked(id_)
        held = [await trio.open_unix_socket(path) for _ in range(MOST_CONNECTIONS)]
        async with await trio.open_unix_socket(path) as stream:
            assert b"connections already" in bytes(await stream.receive_some())
        for stream in held:
            await stream.aclose()


async def test_without_a_sandbox_there_is_no_socket(world: World) -> None:
    async with world.running():
        await world.until_acked(world.put(2))
        assert not (world.config.outbound_db.parent / ".tools.sock").exists()


async def test_the_socket_of_a_killed_runner_is_replaced(world: World) -> None:
    (world.config.outbound_db.parent / ".tools.sock").touch()
    answers: list[Mapping[str, Any]] = []
    id_ = world.put(2)
    async with running(world, asking(world, answers, {"list": {}})):
        await world.until_acked(id_)
    assert answers[0]["tools"]
