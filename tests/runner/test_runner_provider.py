"""A provider is open for as long as its runner lives, and has its session's state, tools and events."""

import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest
import trio
from attrs import define, evolve, field

from agent_runner.errors import (
    DatabaseError,
    ProviderClosedError,
    ProviderError,
    ProviderOpenError,
    ToolError,
    ToolRegistrationError,
    UnstorableError,
)
from agent_runner.open_provider import OPEN_TIMEOUT
from agent_runner.providers import Provider, ProviderContext, Tool, Toolbox, ToolSpec, TurnHandler
from agent_runner.records import Reply, Result, Turn
from agent_runner.runner import run_runner
from agent_runner.session_state import LARGEST_VALUE, MOST_KEYS
from tests.runner.world import EPOCH, Killed, World, at, of

Act = Callable[[ProviderContext, Turn, Toolbox], Awaitable[Result | None]]


@define(eq=False)
class Conversation:
    """A provider that records its use for tests. `act` takes each turn."""

    act: Act | None = None
    events: list[str] = field(factory=list)
    name: str = "conversation"

    @asynccontextmanager
    async def open(self, context: ProviderContext, /) -> AsyncIterator[TurnHandler]:
        self.events.append("opened")
        try:
            yield Turns(self, context)
        finally:
            self.events.append("closed")


@define(eq=False)
class Turns:
    provider: Conversation
    context: ProviderContext

    async def run(self, turn: Turn, tools: Toolbox, /) -> Result:
        self.provider.events.append("turn")
        result = await self.provider.act(self.context, turn, tools) if self.provider.act else None
        return result or Result((Reply("yes", turn.messages[0].id),))


async def ends(world: World, provider: Provider) -> BaseException:
    """Run a runner until it fails. Return its error."""
    with pytest.raises(Exception) as ended, trio.fail_after(10_000):  # noqa: PT011 -- it is what is asked for
        await run_runner(world.config, world.seams(provider))
    return ended.value


# -- opening and closing -----------------------------------------------------------


async def test_a_provider_is_opened_once_before_its_turns_and_closed_with_its_runner(world: World) -> None:
    provider = Conversation()
    async with world.running(provider):
        await world.until_acked(world.put(2))
        await world.until_acked(world.put(4))
    assert provider.events == ["opened", "turn", "turn", "closed"]


async def test_a_provider_is_closed_when_its_runner_is_stopped_in_a_turn(world: World) -> None:
    async def act(*_: object) -> None:
        await trio.sleep_forever()

    provider = Conversation(act)
    world.put(2)
    async with world.running(provider):
        await trio.sleep(1)
    assert provider.events == ["opened", "turn", "closed"]


async def test_a_turn_that_breaks_is_released_and_the_provider_stays_open(world: World) -> None:
    async def act(_context: ProviderContext, turn: Turn, _tools: Toolbox) -> None:
        if turn.messages[0].id == "in-2":
            raise ValueError("broken")

    provider = Conversation(act)
    world.put(2)
    async with world.running(provider):
        await world.until_acked("in-2", status="released")
        await world.until_acked(world.put(4))
    assert provider.events == ["opened", "turn", "turn", "closed"]


async def test_a_runner_that_dies_of_its_database_closes_the_provider_and_says_why(world: World) -> None:
    def die(n: int, when: Literal["before", "after"]) -> None:
        if (n, when) == (2, "before"):
            raise Killed

    world.put(2)
    world.executor.on_commit = die

    class WithTasks(Conversation):
        @asynccontextmanager
        async def open(self, context: ProviderContext, /) -> AsyncIterator[TurnHandler]:
            async with trio.open_nursery() as nursery:  # it would put an error that it sees into a group
                nursery.start_soon(trio.sleep_forever)
                yield Turns(self, context)
                nursery.cancel_scope.cancel()
                self.events.append("closed")

    provider = WithTasks()
    assert isinstance(await ends(world, provider), Killed)
    assert provider.events == ["turn", "closed"]


async def test_a_provider_that_hangs_while_it_closes_delays_no_failure(world: World) -> None:
    def die(n: int, when: Literal["before", "after"]) -> None:
        if (n, when) == (2, "before"):
            raise Killed

    class Hanging(Conversation):
        @asynccontextmanager
        async def open(self, context: ProviderContext, /) -> AsyncIterator[TurnHandler]:
            yield Turns(self, context)
            await trio.sleep(10_000)

    world.put(2)
    world.executor.on_commit = die
    assert isinstance(await ends(world, Hanging()), Killed)
    assert trio.current_time() < 60


async def test_a_provider_that_fails_to_close_hides_no_failure(world: World) -> None:
    def die(n: int, when: Literal["before", "after"]) -> None:
        if (n, when) == (2, "before"):
            raise Killed

    class Fragile(Conversation):
        @asynccontextmanager
        async def open(self, context: ProviderContext, /) -> AsyncIterator[TurnHandler]:
            yield Turns(self, context)
            raise RuntimeError("already closed")

    world.put(2)
    world.executor.on_commit = die
    assert isinstance(await ends(world, Fragile()), Killed)


async def test_a_task_of_the_provider_that_breaks_ends_the_runner_with_one_clear_error(world: World) -> None:
    async def breaks() -> None:
        await trio.sleep(5)
        raise ValueError("the stream has ended")

    class Streaming(Conversation):
        @asynccontextmanager
        async def open(self, context: ProviderContext, /) -> AsyncIterator[TurnHandler]:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(breaks)
                yield Turns(self, context)

    error = await ends(world, Streaming())
    assert isinstance(error, ProviderClosedError)
    assert str(error) == (
        "provider 'conversation' failed outside of its turns: ValueError: the stream has ended"
    )


async def test_a_provider_that_ends_by_itself_is_no_orderly_end(world: World) -> None:
    class Leaving(Conversation):
        @asynccontextmanager
        async def open(self, context: ProviderContext, /) -> AsyncIterator[TurnHandler]:
            with trio.move_on_after(5):
                yield Turns(self, context)

    error = await ends(world, Leaving())
    assert isinstance(error, ProviderClosedError)
    assert "ended before its runner" in str(error)


# -- what cannot be opened -----------------------------------------------------------


class Unable(Conversation):
    """A provider that cannot be opened, for this reason."""

    reason: Exception | None = OSError("connection refused")

    @asynccontextmanager
    async def open(self, context: ProviderContext, /) -> AsyncIterator[TurnHandler]:
        await trio.lowlevel.checkpoint()
        if self.reason:
            raise self.reason
        yield Turns(self, context)


async def test_a_provider_that_cannot_be_opened_releases_due_messages(world: World) -> None:
    for seq in (2, 4):
        world.put(seq)
    world.put(6, process_after=at(3600))
    world.put(8, tries=1)
    error = await ends(world, Unable())
    assert isinstance(error, ProviderOpenError)
    reason = "provider 'conversation' cannot be opened: OSError: connection refused"
    assert str(error) == reason
    rows = world.out("SELECT message_id, status, attempt, error FROM processing_ack ORDER BY message_id")
    assert rows == [
        (id_, "released", tries, reason) for id_, tries in (("in-2", 0), ("in-4", 0), ("in-8", 1))
    ]


async def test_its_messages_are_tried_again_when_it_says(world: World) -> None:
    world.put(2)
    unable = Unable()
    unable.reason = ProviderError("quota exceeded", EPOCH + timedelta(hours=1))
    await ends(world, unable)
    assert world.out("SELECT retry_at FROM processing_ack") == [(at(3600),)]


async def test_claims_of_an_earlier_runner_are_released_too(world: World) -> None:
    async def act(*_: object) -> None:
        await trio.sleep_forever()

    world.put(2)
    async with world.running(Conversation(act)):
        await world.until_acked("in-2", status="processing")
    await ends(world, Unable())
    assert world.out("SELECT status, attempt FROM processing_ack") == [("released", 0)]


async def test_a_provider_that_does_not_open_in_time_is_given_up(world: World) -> None:
    class Slow(Conversation):
        @asynccontextmanager
        async def open(self, context: ProviderContext, /) -> AsyncIterator[TurnHandler]:
            await trio.sleep(10_000)
            yield Turns(self, context)

    world.put(2)
    error = await ends(world, Slow())
    assert isinstance(error, ProviderOpenError)
    assert "did not open within 120 s" in str(error)
    assert trio.current_time() == pytest.approx(OPEN_TIMEOUT, abs=1)
    assert world.acks() == {"in-2": "released"}


async def test_a_handler_without_run_cannot_be_opened(world: World) -> None:
    class Empty(Conversation):
        @asynccontextmanager
        async def open(self, _context: ProviderContext, /) -> AsyncIterator[TurnHandler]:
            yield None  # type: ignore[misc]  # what is wrong

    assert "open() yielded NoneType, which has no method `run`" in str(await ends(world, Empty()))


# -- state ---------------------------------------------------------------------------


async def test_state_outlives_the_runner(world: World) -> None:
    async def remember(context: ProviderContext, _turn: Turn, _tools: Toolbox) -> None:
        count = int(await context.state.get("count") or "0")
        await context.state.set("count", str(count + 1))
        await context.state.set("gone", "x")
        await context.state.delete("gone")
        assert await context.state.items() == {"count": str(count + 1)}

    for seq in (2, 4, 6):
        await world.serve(Conversation(remember), world.put(seq))
    assert world.out("SELECT key, value FROM session_state") == [("count", "3")]


async def test_the_state_of_a_result_is_committed_with_its_turn_or_not_at_all(world: World) -> None:
    async def act(context: ProviderContext, turn: Turn, _tools: Toolbox) -> Result:
        assert await context.state.items() == {"old": "1"}
        return Result((Reply("yes", turn.messages[0].id),), state={"history": "hello", "old": None})

    def die(n: int, when: Literal["before", "after"]) -> None:
        if n == 2 and when == "before":
            raise Killed

    with world.outbound() as connection:
        connection.execute("INSERT INTO session_state VALUES ('old', '1', '')")
    world.put(2)
    world.executor.on_commit = die
    assert isinstance(await ends(world, Conversation(act)), Killed)
    assert of(world.out("SELECT key FROM session_state")) == ["old"]
    world.executor.on_commit = None
    world.settle()
    await world.serve(Conversation(act), "in-2")
    assert world.out("SELECT key, value FROM session_state") == [("history", "hello")]
    assert world.texts() == ["yes"]


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("", "x", "must be a text of 1 to 256 characters, got ''"),
        ("k" * 257, "x", "must be a text of 1 to 256 characters"),
        ("a\0b", "x", "must be a text of 1 to 256 characters"),
        ("\ud800", "x", "must be a text of 1 to 256 characters"),
        (5, "x", "must be a text of 1 to 256 characters, got 5"),
        ("k", 5, "session_state['k'] must be a text, got int"),
        ("k", "x" * (LARGEST_VALUE + 1), "session_state['k'] has 1,048,577 bytes; the most is 1,048,576"),
    ],
)
async def test_state_beyond_the_bounds_is_refused_and_changes_nothing(
    world: World, key: str, value: str, reason: str
) -> None:
    async def act(context: ProviderContext, _turn: Turn, _tools: Toolbox) -> Result:
        with pytest.raises(UnstorableError) as refused:
            await context.state.set(key, value)
        assert reason in str(refused.value)
        return Result(state={key: value})

    world.put(2)
    async with world.running(Conversation(act)):
        await world.until_acked("in-2", status="released")
    ((error,),) = world.out("SELECT error FROM processing_ack")
    assert reason in str(error)
    assert world.out("SELECT * FROM session_state") == []


async def test_there_are_only_so_many_keys(world: World) -> None:
    with world.outbound() as connection:
        rows = [(str(n), "x", "") for n in range(MOST_KEYS)]
        connection.executemany("INSERT INTO session_state VALUES (?, ?, ?)", rows)

    async def act(context: ProviderContext, turn: Turn, _tools: Toolbox) -> Result:
        with pytest.raises(UnstorableError, match="would have 1,001 keys; the most is 1,000"):
            await context.state.set("one more", "x")
        await context.state.set("5", "changed")
        if turn.messages[0].tries:
            return Result(state={"one more": "x", "6": None})
        return Result(state={"one more": "x"})

    world.put(2)
    async with world.running(Conversation(act)):
        await world.until_acked("in-2", status="released")
        world.settle()
        await world.until_acked("in-2")
    assert world.out("SELECT count(*) FROM session_state") == [(MOST_KEYS,)]


async def test_values_of_another_runner_beyond_the_limits_are_ignored(world: World) -> None:
    with world.outbound() as connection:
        connection.execute("INSERT INTO session_state VALUES ('blob', x'00ff', '')")
        connection.execute("INSERT INTO session_state VALUES ('huge', printf('%.*c', 2000000, 'x'), '')")
        connection.execute("INSERT INTO session_state VALUES (printf('%.*c', 300, 'k'), 'x', '')")

    async def act(context: ProviderContext, _turn: Turn, _tools: Toolbox) -> None:
        assert await context.state.items() == {}
        assert [await context.state.get(key) for key in ("blob", "huge", "none", "\ud800")] == [None] * 4

    await world.serve(Conversation(act), world.put(2))


# -- events, settings ------------------------------------------------------------------


async def test_usage_and_errors_are_recorded_as_events(world: World) -> None:
    async def act(context: ProviderContext, turn: Turn, _tools: Toolbox) -> None:
        await context.events.record("usage", {"input_tokens": 5}, turn_id=turn.turn_id)
        await context.events.record("error", {"reason": "slow"})
        for kind, data, reason in (
            ("tool", {}, "of kind usage or error, not 'tool'"),
            ("usage", {"x": object()}, "is not JSON"),
            ("usage", {"x": "y" * 20_000}, "the most is 16,384"),
            ("usage", [1], "must be a mapping"),
        ):
            with pytest.raises(UnstorableError, match=reason):
                await context.events.record(kind, data)  # type: ignore[arg-type]  # what is wrong

    await world.serve(Conversation(act), world.put(2))
    ((turn_id,),) = world.out("SELECT turn_id FROM messages_out")
    rows = world.out("SELECT kind, data FROM events WHERE kind IN ('usage', 'error') ORDER BY id")
    assert [(kind, json.loads(str(data))) for kind, data in rows] == [
        ("error", {"reason": "slow"}),
        ("usage", {"input_tokens": 5, "turn_id": turn_id}),
    ]


@pytest.mark.parametrize("status", ["completed", "released"])
async def test_usage_of_a_turn_is_committed_with_its_outcome(world: World, status: str) -> None:
    recorded = "SELECT kind FROM events WHERE kind IN ('usage', 'turn ended') ORDER BY id"

    async def act(context: ProviderContext, turn: Turn, _tools: Toolbox) -> None:
        await context.events.record("usage", {}, turn_id=turn.turn_id)
        assert world.out(recorded) == []
        if status == "released":
            raise ProviderError("the model is down")

    message = world.put(2)
    async with world.running(Conversation(act)):
        await world.until_acked(message, status=status)
    assert world.out(recorded) == [("usage",), ("turn ended",)]


async def test_usage_of_another_turn_or_of_none_is_committed_at_once(world: World) -> None:
    async def act(context: ProviderContext, _turn: Turn, _tools: Toolbox) -> None:
        await context.events.record("usage", {}, turn_id="an-earlier-turn")
        await context.events.record("usage", {})
        assert world.out("SELECT count(*) FROM events WHERE kind = 'usage'") == [(2,)]

    await world.serve(Conversation(act), world.put(2))


async def test_its_context_has_the_session_s_clock_workspace_settings_and_ids(world: World) -> None:
    seen: list[ProviderContext] = []

    async def act(context: ProviderContext, _turn: Turn, _tools: Toolbox) -> None:
        seen.append(context)
        with pytest.raises(ProviderError, match="no HTTP client"):
            context.http.open()

    provider = Conversation(act)
    config = evolve(world.config, model_settings={"name": "large", "top": 3})
    message = world.put(2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_runner, config, world.seams(provider))
        await world.until_acked(message)
        nursery.cancel_scope.cancel()
    [context] = seen
    assert context.clock.now() == datetime(2025, 3, 1, 12, tzinfo=UTC)
    assert context.workspace == world.config.workspace
    assert context.model_settings == {"name": "large", "top": 3}
    with pytest.raises(TypeError):
        context.model_settings["name"] = "small"  # type: ignore[index]  # it is frozen
    assert context.new_id("call").startswith("call-")


# -- tools -------------------------------------------------------------------------------


def moon(run: Callable[[Mapping[str, object]], Awaitable[str]], **more: object) -> Tool:
    parameters = {"type": "object", "properties": {"day": {"type": "integer"}}, "required": ["day"]}
    return Tool(ToolSpec("moon", "Tell the phase of the moon.", parameters), run, **more)  # type: ignore[arg-type]  # a timeout


async def waxing(arguments: Mapping[str, object]) -> str:
    await trio.lowlevel.checkpoint()
    return f"waxing on day {arguments['day']}"


async def test_a_tool_may_appear_and_vanish_in_a_turn(world: World) -> None:
    async def act(context: ProviderContext, _turn: Turn, tools: Toolbox) -> None:
        before = [spec.name for spec in tools.specs]
        context.tools.add(moon(waxing))
        assert [spec.name for spec in tools.specs] == [*before, "moon"]
        assert await tools.call("moon", {"day": 5}) == "waxing on day 5"
        with pytest.raises(ToolError, match="the argument 'day' must be an integer"):
            await tools.call("moon", {"day": "monday"})
        context.tools.remove("moon")
        assert [spec.name for spec in tools.specs] == before
        with pytest.raises(ToolError, match="there is no tool 'moon'"):
            await tools.call("moon", {"day": 5})

    await world.serve(Conversation(act), world.put(2))
    rows = world.out("SELECT kind, data ->> 'tool', data ->> 'outcome' FROM events WHERE kind LIKE 'tool%'")
    assert rows == [("tool started", "moon", None), ("tool ended", "moon", "done")]


async def test_an_added_tool_that_breaks_or_hangs_is_an_answer_for_the_agent(world: World) -> None:
    async def breaks(_arguments: Mapping[str, object]) -> str:
        raise KeyError("phase")

    async def hangs(_arguments: Mapping[str, object]) -> str:
        await trio.sleep(10_000)
        return ""

    async def returns_a_number(_arguments: Mapping[str, object]) -> str:
        return 5  # type: ignore[return-value]  # what is wrong

    said: list[str] = []

    async def act(context: ProviderContext, _turn: Turn, tools: Toolbox) -> None:
        for run in (breaks, hangs, returns_a_number):
            context.tools.add(moon(run, timeout=3.0))
            with pytest.raises(ToolError) as refused:
                await tools.call("moon", {"day": 1})
            said.append(str(refused.value))
            context.tools.remove("moon")

    await world.serve(Conversation(act), world.put(2))
    assert said == [
        "moon failed: KeyError: 'phase'",
        "moon took longer than 3 s",
        "moon failed: it returned int, not text",
    ]


@pytest.mark.parametrize(
    ("wait", "answer"),
    [
        (lambda _: 1e300, "waxing on day 1"),
        (lambda _: -5, "waxing on day 1"),
        (lambda _: math.nan, "waxing on day 1"),
        (lambda _: "long", "moon failed: ValueError: could not convert string to float: 'long'"),
    ],
)
async def test_an_added_tool_declares_its_wait_within_limits(
    world: World, wait: Callable[[object], float], answer: str
) -> None:
    async def act(context: ProviderContext, turn: Turn, tools: Toolbox) -> Result:
        context.tools.add(evolve(moon(waxing), waits_for=wait))
        try:
            said = await tools.call("moon", {"day": 1})
        except ToolError as error:
            said = str(error)
        return Result((Reply(said, turn.messages[0].id),))

    await world.serve(Conversation(act), world.put(2))
    assert world.texts() == [answer]


async def test_a_broken_database_under_an_added_tool_is_no_answer(world: World) -> None:
    async def act(context: ProviderContext, _turn: Turn, tools: Toolbox) -> None:
        async def stores(_arguments: Mapping[str, object]) -> str:
            raise DatabaseError("disk full")

        context.tools.add(moon(stores))
        with pytest.raises(DatabaseError):
            await tools.call("moon", {"day": 1})

    await world.serve(Conversation(act), world.put(2))


@pytest.mark.parametrize(
    ("tool", "reason"),
    [
        (Tool(ToolSpec("send_message", "x", {"type": "object"}), waxing), "the name is taken"),
        (Tool(ToolSpec("no spaces", "x", {"type": "object"}), waxing), "a name has 1 to 64 letters"),
        (Tool(ToolSpec("x" * 65, "x", {"type": "object"}), waxing), "a name has 1 to 64 letters"),
        (Tool(ToolSpec("x", "", {"type": "object"}), waxing), "a description has 1 to 10,000 characters"),
        (
            Tool(ToolSpec("x", "x", {"type": "object"}), waxing, timeout=0),
            "its timeout must be more than 0 and at most 86400 seconds, got 0",
        ),
        (Tool(ToolSpec("x", "x", {"properties": {}}), waxing), 'must have "type": "object"'),
        (
            Tool(ToolSpec("x", "x", {"type": "object", "required": 5}), waxing),
            "its schema is invalid at required",
        ),
    ],
)
async def test_a_tool_that_no_model_could_use_is_refused_by_its_name(
    world: World, tool: Tool, reason: str
) -> None:
    async def act(context: ProviderContext, _turn: Turn, _tools: Toolbox) -> None:
        with pytest.raises(ToolRegistrationError) as refused:
            context.tools.add(tool)
        assert str(refused.value).startswith(f"tool '{tool.spec.name}'")
        assert reason in str(refused.value)

    await world.serve(Conversation(act), world.put(2))


async def test_only_added_tools_can_be_removed(world: World) -> None:
    async def act(context: ProviderContext, _turn: Turn, _tools: Toolbox) -> None:
        context.tools.add(moon(waxing))
        with pytest.raises(ToolRegistrationError, match=r"'send_message' was not added.*; added: moon"):
            context.tools.remove("send_message")

    await world.serve(Conversation(act), world.put(2))
