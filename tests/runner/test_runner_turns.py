"""The messages of a turn, and their outcomes (contract 4, Status)."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

import pytest
import trio
from attrs import define, field

from agent_runner.errors import ProviderError
from agent_runner.providers import Toolbox
from agent_runner.records import Reply, Result, Turn
from agent_runner.seams import Lane
from tests.runner.world import EPOCH, InlineExecutor, Listener, Script, T, World, at, of


async def test_a_message_is_answered_where_it_came_from(world: World) -> None:
    message = world.put(2, "hello", channel_type="discord", platform_id="room", thread_id="t1")
    await world.serve(Listener(), message)
    sent = "SELECT in_reply_to, channel_type, platform_id, thread_id, kind, content FROM messages_out"
    assert world.out(sent) == [(message, "discord", "room", "t1", "chat", '{"text":"echo: hello"}')]


async def test_a_message_to_a_sleeping_runner_is_answered_at_once(world: World) -> None:
    async with world.running():
        await trio.sleep(15)
        await world.until_acked(world.put(2))
        assert trio.current_time() == pytest.approx(15, abs=0.1)


async def test_a_lost_wake_up_costs_a_slow_poll(world: World) -> None:
    async with world.running():
        await trio.sleep(40)
        world.bell.broken = True
        await world.until_acked(world.put(2))
        assert trio.current_time() == pytest.approx(60, abs=0.1)


FIRST_LOOKS = 7
"""The number of reads from the start to the first wait."""


@pytest.mark.parametrize("read", range(1, 9))
async def test_a_message_that_comes_while_the_runner_looks_is_not_missed(world: World, read: int) -> None:
    def happen(n: int) -> None:
        if n == read:
            world.put(2)
        elif n == FIRST_LOOKS:
            world.bell.ring()  # it looks once more

    world.executor = Interrupted(after_read=happen)
    async with world.running():
        await world.until_acked("in-2")
        assert trio.current_time() < 1


@define(eq=False)
class Interrupted(InlineExecutor):
    """Calls a function after each read."""

    after_read: Callable[[int], object] = field(kw_only=True)
    reads: int = 0

    async def run(self, call: Callable[[], T], *, lane: Lane = "write") -> T:
        result = await super().run(call, lane=lane)
        if lane == "read":
            self.reads += 1
            self.after_read(self.reads)
        return result


async def test_messages_that_wait_together_are_one_turn_with_a_reply_each(world: World) -> None:
    provider = Listener()
    messages = [world.put(seq, f"{seq}") for seq in (2, 4, 6)]
    await world.serve(provider, *messages)
    assert provider.heard == [messages]
    assert world.texts() == ["echo: 2", "echo: 4", "echo: 6"]


async def test_replies_and_acks_of_a_turn_appear_together(world: World) -> None:
    seen: set[tuple[int, object]] = set()

    def look(_n: int, when: str) -> None:
        if when == "after":
            seen.add((len(world.texts()), world.acks().get("in-2")))

    world.executor.on_commit = look
    await world.serve(Listener(), world.put(2))
    assert seen == {(0, "processing"), (1, "completed")}


async def test_the_turn_tells_the_provider_who_it_is(world: World) -> None:
    provider = Listener()
    await world.serve(provider, world.put(2, timestamp="2025-02-01 08:00:00"))
    (turn,) = provider.turns
    assert (turn.assistant_name, turn.timezone) == ("Nano", "UTC")
    assert turn.messages[0].timestamp.isoformat() == "2025-02-01T08:00:00+00:00"


@pytest.mark.parametrize(
    ("kind", "content", "answer"),
    [
        ("chat-sdk", {"id": "1", "text": "hi", "author": {}}, ["echo: hi"]),
        ("task", {"prompt": "water the plants"}, ["echo: water the plants"]),
        ("webhook", {"source": "git", "event": "push", "payload": {}}, ["echo: push"]),
        ("system", {"type": "question_response"}, []),
    ],
)
async def test_echo_answers_each_kind_in_its_way(
    world: World, kind: str, content: object, answer: list[str]
) -> None:
    await world.serve(Listener(), world.put(2, kind=kind, content=json.dumps(content)))
    assert world.texts() == answer


async def test_an_answer_to_a_message_without_address_goes_to_the_own_chat(world: World) -> None:
    content = json.dumps({"prompt": "x"})
    task = world.put(2, kind="task", content=content, channel_type=None, platform_id=None)
    await world.serve(Listener(), task)
    assert world.out("SELECT channel_type, platform_id FROM messages_out") == [("tg", "chat-1")]


async def test_an_answer_that_has_nowhere_to_go_fails_its_message(world: World) -> None:
    world.host("DELETE FROM session_routing")
    task = world.put(2, kind="task", content='{"prompt":"x"}', channel_type=None, platform_id=None)
    chat = world.put(4)
    async with world.running():
        await world.until_acked(task, status="failed")
    assert world.acks()[chat] == "completed"
    assert "address" in str(world.out("SELECT error FROM processing_ack WHERE message_id = ?", task))


async def test_another_agent_is_answered_as_an_agent(world: World) -> None:
    await world.serve(Listener(), world.put(2, channel_type="agent", platform_id="ag-other"))
    assert world.out("SELECT channel_type, platform_id FROM messages_out") == [("agent", "ag-other")]


async def test_a_turn_takes_two_hundred_messages_oldest_first(world: World) -> None:
    provider = Listener()
    messages = [world.put(seq) for seq in range(2, 452, 2)]
    await world.serve(provider, *messages)
    assert provider.heard == [messages[:200], messages[200:]]


async def test_context_starts_no_turn_and_goes_along_with_the_next(world: World) -> None:
    provider = Listener()
    context = world.put(2, trigger=0)
    async with world.running(provider):
        await trio.sleep(100)
        assert provider.turns == []
        message = world.put(4)
        await world.until_acked(context, message)
    assert provider.heard == [[message]]
    assert of([(row.id,) for row in provider.turns[0].context]) == [context]
    assert world.texts() == ["echo: hi"]


async def test_context_without_end_is_shown_as_far_as_there_is_room_and_closed(world: World) -> None:
    provider = Listener()
    context = [world.put(seq, trigger=0) for seq in range(2, 502, 2)]
    message = world.put(502)
    await world.serve(provider, message, *context)
    (turn,) = provider.turns
    assert [row.id for row in turn.context] == context[-199:]
    assert turn.context_omitted == 51


async def test_a_message_that_was_tried_before_has_a_turn_alone(world: World) -> None:
    provider = Listener()
    ids = [world.put(seq, tries=tries) for seq, tries in ((2, 0), (4, 0), (6, 1), (8, 2), (10, 0))]
    await world.serve(provider, *ids)
    assert provider.heard == [ids[:2], [ids[2]], [ids[3]], [ids[4]]]


async def test_on_wake_rows_are_for_the_first_look_of_a_fresh_runner(world: World) -> None:
    provider = Listener()
    early = world.put(2, on_wake=1)
    async with world.running(provider):
        await world.until_acked(early)
        late = world.put(4, on_wake=1)
        await trio.sleep(100)
        assert provider.heard == [[early]]
    await world.serve(provider, late)


@pytest.mark.parametrize("due", [at(50), "2025-03-01 12:00:50", "2025-03-01T13:00:50+01:00"])
async def test_a_message_is_taken_when_it_is_due_in_either_spelling(world: World, due: str) -> None:
    message = world.put(2, process_after=due)
    async with world.running():
        await world.until_acked(message)
        assert trio.current_time() == pytest.approx(50, abs=0.1)


@pytest.mark.parametrize("due", ["", None, "2025-03-01 11:59:59", "2025-03-01T11:59:59.999Z", "nonsense"])
async def test_a_message_that_is_due_or_has_no_time_is_taken_at_once(world: World, due: str | None) -> None:
    message = world.put(2, process_after=due)
    async with world.running():
        await world.until_acked(message)
        assert trio.current_time() < 1


@pytest.mark.parametrize("status", ["completed", "failed", "released"])
@pytest.mark.parametrize("attempt", [1, None])
async def test_a_final_ack_of_the_current_attempt_closes_a_message_for_the_runner(
    world: World, status: str, attempt: int | None
) -> None:
    ack(world, "in-2", status, attempt)
    world.put(2, tries=1)
    other = world.put(4)
    provider = Listener()
    await world.serve(provider, other)
    assert provider.heard == [[other]]


@pytest.mark.parametrize(("status", "attempt"), [("released", 0), ("completed", 0), ("processing", 1)])
async def test_an_ack_of_an_older_attempt_or_an_open_one_leaves_it_to_be_taken(
    world: World, status: str, attempt: int
) -> None:
    ack(world, "in-2", status, attempt)
    world.put(2, tries=1)
    async with world.running():
        await world.until(lambda: world.texts() == ["echo: hi"])
    assert world.out("SELECT status, attempt FROM processing_ack") == [("completed", 1)]


def ack(world: World, message_id: str, status: str, attempt: int | None) -> None:
    insert = "INSERT INTO processing_ack (message_id, status, status_changed, attempt) VALUES (?, ?, ?, ?)"
    with world.outbound() as connection:
        connection.execute(insert, (message_id, status, at(0), attempt))


async def test_an_unreadable_row_fails_and_stops_no_other(world: World) -> None:
    bad = [world.put(2, content="{"), world.put(4, content="[1]"), world.put(6, content="[" * 100_000)]
    good = world.put(8, "fine")
    async with world.running():
        await world.until_acked(*bad, status="failed")
        await world.until_acked(good)
    assert world.texts() == ["echo: fine"]


async def test_the_reply_to_a_message_that_was_not_asked_goes_to_the_own_chat(world: World) -> None:
    async def act(_turn: Turn, _tools: Toolbox) -> Result:
        return Result((Reply("hm", "in-99"), Reply("well"), Reply("  ")))

    await world.serve(Script(act), world.put(2, platform_id="chat-2"))
    assert world.out("SELECT platform_id FROM messages_out") == [("chat-1",), ("chat-1",)]


async def test_half_an_emoji_from_a_model_does_not_stop_the_runner(world: World) -> None:
    async def act(turn: Turn, _tools: Toolbox) -> Result:
        return Result((Reply("oh \ud83d", turn.messages[0].id),))

    await world.serve(Script(act), world.put(2))
    assert world.texts() == ["oh ?"]


# -- providers that fail -------------------------------------------------------


async def test_a_provider_error_releases_the_messages_with_its_reason_and_sends_no_answer(
    world: World,
) -> None:
    async def act(_turn: Turn, _tools: Toolbox) -> Result:
        raise ProviderError("quota", EPOCH + timedelta(seconds=90))

    ids = [world.put(2), world.put(4, trigger=0)]
    provider = Script(act)
    async with world.running(provider):
        await world.until_acked(*ids, status="released")
        await trio.sleep(1000)
    assert world.out("SELECT DISTINCT retry_at, error FROM processing_ack") == [(at(90), "quota")]
    assert world.texts() == []
    assert len(provider.turns) == 1


async def test_an_unexpected_error_of_a_provider_is_released_for_half_a_minute(world: World) -> None:
    async def act(_turn: Turn, _tools: Toolbox) -> Result:
        raise ValueError("what?")

    async with world.running(Script(act)):
        await world.until_acked(world.put(2), status="released")
    assert world.out("SELECT retry_at, error FROM processing_ack") == [(at(30), "ValueError: what?")]


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (5, "the provider returned a value of type int, not a Result"),
        (None, "the provider returned None, not a Result"),
        (
            Result(cast("Any", (Reply(cast("Any", 5)),))),
            "the provider replied with a value of type int, not text",
        ),
        (Result(cast("Any", ("hello",))), "the provider replied with a value of type str, not text"),
    ],
)
async def test_a_provider_that_returns_no_result_releases_the_turn_with_the_reason(
    world: World, made: object, said: str
) -> None:
    async def act(_turn: Turn, _tools: Toolbox) -> Result:
        return cast("Result", made)

    async with world.running(Script(act)):
        await world.until_acked(world.put(2), status="released")
    assert world.out("SELECT error FROM processing_ack") == [(said,)]


async def test_a_released_message_is_taken_again_as_the_next_attempt(world: World) -> None:
    async def act(turn: Turn, _tools: Toolbox) -> Result:
        if turn.messages[0].tries == 0:
            raise ProviderError("busy")
        return Result((Reply("now", turn.messages[0].id),))

    message = world.put(2)
    async with world.running(Script(act)):
        await world.until_acked(message, status="released")
        world.host("UPDATE messages_in SET tries = 1, process_after = ?", at(30))
        await world.until_acked(message)
        assert trio.current_time() == pytest.approx(30, abs=0.1)
    assert world.texts() == ["now"]


async def test_a_provider_without_a_sign_of_life_loses_its_turn(world: World) -> None:
    async def act(_turn: Turn, tools: Toolbox) -> Result:
        await trio.sleep(1000)
        tools.alive()
        await trio.sleep_forever()
        raise AssertionError

    async with world.running(Script(act)):
        await world.until_acked(world.put(2), status="released")
        assert trio.current_time() == pytest.approx(1000 + 1800, abs=11)
    assert "the provider was silent for" in str(world.out("SELECT error FROM processing_ack"))


# -- signs of life -------------------------------------------------------------


async def test_the_heartbeat_moves_every_ten_seconds_while_a_turn_is_open(
    world: World,
) -> None:
    async def act(_turn: Turn, _tools: Toolbox) -> Result:
        await trio.sleep(55)
        return Result()

    def beat() -> float:
        return world.config.heartbeat.stat().st_mtime - EPOCH.timestamp()

    async with world.running(Script(act)):
        await trio.sleep(33)
        assert beat() == pytest.approx(0, abs=0.1)
        message = world.put(2)
        await trio.sleep(45)
        assert beat() == pytest.approx(73, abs=0.1)
        await world.until_acked(message)
        await trio.sleep(100)
        assert beat() == pytest.approx(83, abs=0.1)


async def test_turns_and_tools_are_recorded_as_events(world: World) -> None:
    await world.serve(Listener(), world.put(2, '!send_message {"text": "x"}'))
    kinds = of(world.out("SELECT kind FROM events ORDER BY id"))
    assert kinds == ["turn started", "tool started", "tool ended", "turn ended"]


async def test_only_the_newest_ten_thousand_events_are_kept(world: World) -> None:
    with world.outbound() as connection, connection:
        connection.executemany(
            "INSERT INTO events (id, at, kind) VALUES (?, '', 'usage')", ((id_,) for id_ in range(5, 10_005))
        )
    await world.serve(Listener(), world.put(2))
    assert world.out("SELECT count(*), min(id), max(id) FROM events") == [(10_000, 7, 10_006)]


async def test_a_tool_that_a_dead_runner_left_behind_is_no_longer_shown(world: World) -> None:
    with world.outbound() as connection:
        connection.execute("INSERT INTO container_state VALUES (1, 'sleep', 9999999, '', NULL)")
    async with world.running():
        await world.until(lambda: not world.out("SELECT * FROM container_state"))
