"""The tools for tasks: a request to the host, its answer, and the text for the agent (contract 5)."""

import json
from contextlib import closing, suppress
from datetime import UTC, datetime

import apsw
import pytest
import trio
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from agent_runner.errors import ProviderError, ToolError
from agent_runner.open_tasks import open_tasks
from agent_runner.providers import Toolbox
from agent_runner.providers.echo import Echo
from agent_runner.records import Result, Turn
from agent_runner.runner import run_runner
from agent_runner.times import to_local, to_zone
from agent_runner.tools.tasks import details
from agent_runner.turns.state import TurnState
from tests.runner.world import EPOCH, Listener, Script, World, at

NINE = "2025-03-02T09:00:00.000Z"


async def ask(world: World, tool: str, answer: dict[str, object] | None, **arguments: object) -> str:
    """Let the agent call a tool, and perhaps the host answer. Return the text for the agent."""
    message = world.put(2, f"!{tool} {json.dumps(arguments)}")
    async with world.running(Listener()):
        if answer is not None:
            await world.until(world.requests)
            world.answer(world.requests()[0][0], 4, **answer)
        await world.until_acked(message)
    return world.texts()[-1]


async def asked(world: World, tool: str, **arguments: object) -> dict[str, object]:
    """Return the content of a tool's request."""
    await ask(world, tool, {"taskId": "task-1"}, **arguments)
    ((_, content),) = world.requests()
    return content


# -- requests ------------------------------------------------------------------


async def test_a_task_is_requested_from_the_chat_that_is_answered(world: World) -> None:
    world.put(2, '!schedule_task {"prompt": "tea", "recurrence": "@daily"}', platform_id="c9", thread_id="t")
    async with world.running():
        await world.until(world.requests)
    row = world.out("SELECT kind, channel_type, platform_id, thread_id, in_reply_to FROM messages_out")
    assert row == [("system", "tg", "c9", "t", None)]
    ((_, content),) = world.requests()
    assert str(content.pop("taskId")).startswith("task-")
    assert content == {"action": "schedule_task", "prompt": "tea", "recurrence": "@daily", "zone": "UTC"}


async def test_a_task_may_have_a_script(world: World) -> None:
    content = await asked(world, "schedule_task", prompt="tea", script="test -f x\n", recurrence="@daily")
    assert (content["prompt"], content["script"]) == ("tea", "test -f x\n")


@pytest.mark.parametrize("script", ["date", ""])
async def test_the_script_of_a_task_may_change_or_go(world: World, script: str) -> None:
    content = await asked(world, "update_task", task_id="task-1", script=script)
    assert content == {"action": "update_task", "taskId": "task-1", "script": script}


async def test_a_task_may_answer_to_another_destination(world: World) -> None:
    world.host("INSERT INTO destinations VALUES ('family', NULL, 'channel', 'tg', 'chat-9', NULL)")
    await asked(world, "schedule_task", prompt="x", recurrence="@daily", to="family")
    assert world.out("SELECT platform_id FROM messages_out WHERE kind = 'system'") == [("chat-9",)]


async def test_a_request_needs_no_chat(world: World) -> None:
    world.host("DELETE FROM session_routing")
    done: list[str] = []

    async def act(_turn: Turn, tools: Toolbox) -> Result:
        done.append(await tools.call("cancel_task", {"task_id": "task-1"}))
        return Result()

    message = world.put(2, kind="task", content='{"prompt":"x"}', channel_type=None, platform_id=None)
    async with world.running(Script(act)):
        await world.until(world.requests)
        world.answer(world.requests()[0][0], 4, taskId="task-1")
        await world.until_acked(message)
    assert done == ["task task-1 is cancelled"]
    assert world.out("SELECT channel_type, platform_id FROM messages_out") == [(None, None)]


@pytest.mark.parametrize(
    ("given", "zone", "moment"),
    [
        ("2025-07-01T09:00", "Europe/Berlin", "2025-07-01T07:00:00.000Z"),
        ("2025-01-01 09:00", "Europe/Berlin", "2025-01-01T08:00:00.000Z"),
        ("2025-07-01T09:00Z", "Europe/Berlin", "2025-07-01T09:00:00.000Z"),
        ("2025-07-01T09:00+09:00", "Europe/Berlin", "2025-07-01T00:00:00.000Z"),
        ("2025-07-01", "America/New_York", "2025-07-01T04:00:00.000Z"),
        ("2m", "America/New_York", at(120)),
        ("1h 30min", "UTC", at(5400)),
    ],
)
async def test_a_local_time_is_read_in_the_task_s_zone(
    world: World, given: str, zone: str, moment: str
) -> None:
    content = await asked(world, "schedule_task", prompt="x", process_after=given, timezone=zone)
    assert (content["processAfter"], content["zone"]) == (moment, zone)


async def test_a_time_without_zone_is_the_user_s(world: World) -> None:
    config = evolve(world.config, timezone="Asia/Tokyo")
    world.put(2, '!schedule_task {"prompt": "x", "process_after": "2025-07-01T09:00"}')
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_runner, config, world.seams(Echo()))
        await world.until(world.requests)
        nursery.cancel_scope.cancel()
    ((_, content),) = world.requests()
    assert (content["processAfter"], content["zone"]) == ("2025-07-01T00:00:00.000Z", "Asia/Tokyo")


@pytest.mark.parametrize(
    ("written", "asked_for"),
    [
        ("@every 5m", "@every 300"),
        ("1h30m", "@every 5400"),
        ("@every 90", "@every 90"),
        ("@every 1.5s", "@every 1.5"),
        ("0 9 * * *", "0 9 * * *"),
    ],
)
async def test_an_interval_is_asked_for_in_seconds(world: World, written: str, asked_for: str) -> None:
    content = await asked(world, "schedule_task", prompt="x", recurrence=written)
    assert content["recurrence"] == asked_for


@pytest.mark.parametrize("name", ["recurrence", "script"])
async def test_null_clears(world: World, name: str) -> None:
    content = await asked(world, "update_task", task_id="task-1", **{name: None})
    assert content == {"action": "update_task", "taskId": "task-1", name: None}


async def test_a_task_in_the_past_is_said_to_be_due(world: World) -> None:
    answer: dict[str, object] = {"taskId": "task-1", "nextRun": "2020-01-01T09:00:00.000Z"}
    said = await ask(world, "schedule_task", answer, prompt="x", process_after="2020-01-01T09:00")
    assert said == "task task-1 is scheduled; it is due now"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (["recurrence", "catchUp", "processAfter"], "changed: recurrence, catch_up, process_after"),
        ([], "changed: nothing, because it was so already"),
        ("all", "changed"),
    ],
)
async def test_the_agent_is_told_what_an_update_has_changed(world: World, changed: object, said: str) -> None:
    answer = {"taskId": "task-1", "nextRun": NINE, "changed": changed}
    told = await ask(world, "update_task", answer, task_id="task-1", prompt="y")
    assert told == f"task task-1 is {said}; next run 2025-03-02 09:00:00 (UTC local time)"


async def test_an_update_says_only_what_changes(world: World) -> None:
    content = await asked(world, "update_task", task_id="task-1", recurrence="", catch_up="all")
    expected = {"action": "update_task", "taskId": "task-1", "recurrence": "", "catchUp": "all"}
    assert content == expected


# -- answers -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("schedule_task", {"prompt": "x", "recurrence": "@daily"}, "task task-1 is scheduled"),
        ("cancel_task", {"task_id": "task-1"}, "task task-1 is cancelled"),
        ("pause_task", {"task_id": "task-1"}, "task task-1 is paused"),
        ("resume_task", {"task_id": "task-1"}, "task task-1 is resumed"),
        ("update_task", {"task_id": "task-1", "prompt": "y"}, "task task-1 is changed"),
    ],
)
async def test_the_answer_is_told_in_words(
    world: World, tool: str, arguments: dict[str, object], said: str
) -> None:
    assert await ask(world, tool, {"taskId": "task-1", "nextRun": None}, **arguments) == said
    assert trio.current_time() < 1


async def test_the_next_run_is_told_in_local_time(world: World) -> None:
    arguments = {"prompt": "x", "recurrence": "0 10 * * *", "timezone": "Europe/Berlin"}
    said = await ask(world, "schedule_task", {"taskId": "task-1", "nextRun": NINE}, **arguments)
    assert said == "task task-1 is scheduled; next run 2025-03-02 10:00:00 (Europe/Berlin local time)"


async def test_a_refusal_is_told_in_the_host_s_words(world: World) -> None:
    said = await ask(world, "cancel_task", {"error": "there is no task 'x'"}, task_id="x")
    assert said == "there is no task 'x'"


@pytest.mark.parametrize("result", [{"nextRun": "never"}, {"nextRun": 7}, {"taskId": [], "zone": "Mars/X"}])
async def test_an_unexpected_answer_is_passed_on_unchanged(world: World, result: dict[str, object]) -> None:
    assert "is scheduled" in await ask(world, "schedule_task", result, prompt="x", recurrence="@daily")


async def test_an_answer_belongs_to_the_turn_that_asked_and_starts_none(world: World) -> None:
    provider = Listener()
    message = world.put(2, '!cancel_task {"task_id": "x"}')
    async with world.running(provider):
        await world.until(world.requests)
        answer = world.answer(world.requests()[0][0], 4, error="no")  # a trigger
        await world.until_acked(message, answer)
        await trio.sleep(100)
    assert provider.heard == [[message]]


async def test_an_answer_is_completed_in_the_transaction_that_ends_its_turn(world: World) -> None:
    seen: list[list[object]] = []

    def look(_n: int, when: str) -> None:
        if when == "after":
            seen.append(list(world.acks().values()))

    world.executor.on_commit = look
    await ask(world, "cancel_task", {"taskId": "x"}, task_id="x")
    assert ["processing", "processing"] in seen
    assert ["completed", "completed"] in seen
    assert all(len(set(statuses)) == 1 for statuses in seen)


async def test_an_answer_is_released_with_its_turn(world: World) -> None:
    async def act(_turn: Turn, tools: Toolbox) -> Result:
        await tools.call("cancel_task", {"task_id": "x"})
        raise ProviderError("quota")

    message = world.put(2)
    async with world.running(Script(act)):
        await world.until(world.requests)
        answer = world.answer(world.requests()[0][0], 4, taskId="x")
        await world.until_acked(message, answer, status="released")
    assert world.out("SELECT DISTINCT retry_at, error FROM processing_ack") == [(at(30), "quota")]


async def test_without_an_answer_the_agent_is_told_that_it_comes_later(world: World) -> None:
    said = await ask(world, "cancel_task", None, task_id="task-1")
    assert said == "requested for task task-1; the answer will come as a message"
    assert trio.current_time() == pytest.approx(10, abs=0.1)


async def test_a_late_answer_goes_along_with_the_next_turn(world: World) -> None:
    provider = Listener()
    async with world.running(provider):
        await world.until_acked(world.put(2, '!cancel_task {"task_id": "x"}'))
        answer = world.answer(world.requests()[0][0], 4, taskId="x")
        await trio.sleep(100)
        assert len(provider.turns) == 1
        await world.until_acked(world.put(6), answer)
    assert [row.id for row in provider.turns[1].context] == [answer]


async def test_a_late_refusal_wakes_the_agent(world: World) -> None:
    provider = Listener()
    async with world.running(provider):
        await world.until_acked(world.put(2, '!cancel_task {"task_id": "x"}'))
        answer = world.answer(world.requests()[0][0], 4, error="no")
        await world.until_acked(answer)
    assert provider.heard[1] == [answer]


async def test_an_answer_whose_wake_up_is_lost_is_found_at_the_end_of_the_wait(world: World) -> None:
    world.put(2, '!cancel_task {"task_id": "x"}')
    async with world.running():
        await world.until(world.requests)
        await trio.sleep(1)
        world.bell.broken = True
        answer = world.answer(world.requests()[0][0], 4, taskId="x")
        await world.until_acked(answer)
    assert world.texts()[-1] == "task x is cancelled"


async def test_a_host_that_cannot_be_read_does_not_make_the_agent_ask_again(world: World) -> None:
    told: list[str] = []

    async def act(_turn: Turn, tools: Toolbox) -> Result:
        told.append(await tools.call("cancel_task", {"task_id": "x"}))
        return Result()

    message = world.put(2)
    async with world.running(Script(act)):
        await world.until(world.requests)
        with closing(apsw.Connection(str(world.config.inbound_db))) as host:
            host.execute("BEGIN EXCLUSIVE")
            with trio.fail_after(60):
                await world.until(lambda: told)
            host.execute("ROLLBACK")
        await world.until_acked(message)
    assert told == ["requested for task x; the answer will come as a message"]
    assert trio.current_time() < 60


async def test_two_tools_wait_at_once_and_each_gets_its_own_answer(world: World) -> None:
    told: dict[str, str] = {}

    async def act(_turn: Turn, tools: Toolbox) -> Result:
        async def cancel(id_: str) -> None:
            told[id_] = await tools.call("cancel_task", {"task_id": id_})

        async with trio.open_nursery() as nursery:
            for id_ in ("a", "b", "c"):
                nursery.start_soon(cancel, id_)
        return Result()

    message = world.put(2)
    async with world.running(Script(act)):
        await world.until(lambda: len(world.requests()) == 3)
        for number, (id_, content) in enumerate(reversed(world.requests())):
            world.answer(id_, 4 + 2 * number, taskId=f"series of {content['taskId']}")
            await trio.sleep(1)
        await world.until_acked(message)
    assert told == {id_: f"task series of {id_} is cancelled" for id_ in "abc"}
    assert set(world.acks().values()) == {"completed"}
    assert len(world.acks()) == 4
    assert trio.current_time() < 5


def test_an_answer_is_kept_for_its_tool_as_long_as_that_waits() -> None:
    state = TurnState()
    with suppress(ToolError), state.reserved("answer-1"):
        assert "answer-1" in state.excluded
        raise ToolError
    assert state.excluded == set()


async def test_a_follow_up_is_never_an_answer_that_a_tool_waits_for(world: World) -> None:
    pushed: list[str] = []
    told: list[str] = []

    async def listen(tools: Toolbox) -> None:
        while True:
            pushed.extend(row.id for row in await tools.follow_ups())

    async def act(_turn: Turn, tools: Toolbox) -> Result:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen, tools)
            told.append(await tools.call("cancel_task", {"task_id": "x"}))
            nursery.cancel_scope.cancel()
        return Result()

    message = world.put(2)
    async with world.running(Script(act)):
        await world.until(world.requests)
        other = world.put(4)
        await trio.sleep(1)
        world.answer(world.requests()[0][0], 6, taskId="x")
        await world.until_acked(message)
        assert pushed == [other]
        assert told == ["task x is cancelled"]


# -- arguments -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("tool", "arguments", "answer"),
    [
        ("schedule_task", {"prompt": "x"}, "say when: process_after, recurrence, or both"),
        ("schedule_task", {"recurrence": "@daily"}, "the argument 'prompt' is missing"),
        (
            "schedule_task",
            {"prompt": "x", "process_after": "tomorrow"},
            "process_after 'tomorrow' is not a time such as 2026-03-01T09:00, or a delay such as 2m",
        ),
        (
            "schedule_task",
            {"prompt": "x", "process_after": "0001-01-01T00:00", "timezone": "Asia/Tokyo"},
            "process_after '0001-01-01T00:00' is not a time such as 2026-03-01T09:00, or a delay such as 2m",
        ),
        (
            "schedule_task",
            {"prompt": "x", "recurrence": "@daily", "timezone": "Mars/Olympus"},
            "the timezone 'Mars/Olympus' is not a zone such as Europe/Berlin",
        ),
        (
            "schedule_task",
            {"prompt": "x", "recurrence": "@daily", "timezone": "../../etc/passwd"},
            "the timezone '../../etc/passwd' is not a zone such as Europe/Berlin",
        ),
        (
            "schedule_task",
            {"prompt": "x", "recurrence": "@daily", "catch_up": "some"},
            "the argument 'catch_up' must be one of skip, all, none",
        ),
        ("schedule_task", {"prompt": "x", "recurrence": " "}, "the argument 'recurrence' is empty"),
        (
            "schedule_task",
            {"prompt": "x", "recurrence": "@daily", "to": "mum"},
            "there is no destination 'mum'; there are: none",
        ),
        (
            "update_task",
            {"task_id": "x"},
            "say what to change: prompt, script, process_after, recurrence, timezone or catch_up",
        ),
        ("cancel_task", {"task_id": ""}, "the argument 'task_id' is empty"),
        (
            "update_task",
            {"task_id": "x", "script": "x" * 100_001},
            "the argument 'script' is longer than 100000 characters",
        ),
        ("pause_task", {"task_id": 5}, "the argument 'task_id' must be a string"),
        ("list_tasks", {"all": "x"}, "unknown argument 'all'; there are: none"),
    ],
)
async def test_the_tool_refuses_bad_arguments_without_a_request(
    world: World, tool: str, arguments: dict[str, object], answer: str
) -> None:
    assert await ask(world, tool, None, **arguments) == answer
    assert world.requests() == []


@given(st.text(), st.text())
def test_no_time_and_no_zone_breaks_the_tool(when: str, zone: str) -> None:
    with suppress(ToolError):
        details({"process_after": when, "timezone": zone}, "UTC", EPOCH)


@given(
    st.datetimes(timezones=st.just(UTC)), st.sampled_from(["Asia/Tokyo", "UTC", "America/New_York", "?", ""])
)
def test_any_moment_can_be_formatted_in_any_zone(moment: datetime, zone: str) -> None:
    assert "local time" in to_local(moment, zone) or "(UTC)" in to_local(moment, zone)


@pytest.mark.parametrize("name", ["", "Europe", "a\0b", "\ud800", "x" * 5000, "/etc/localtime"])
def test_an_unknown_zone_is_a_value_error(name: str) -> None:
    with pytest.raises(ValueError, match="is not a zone"):
        to_zone(name)


# -- list_tasks ----------------------------------------------------------------


async def listed(world: World) -> str:
    await world.serve(Listener(), world.put(8, "!list_tasks"))
    return world.texts()[-1]


def task(world: World, seq: int, prompt: str, due: str, **columns: object) -> None:
    content = json.dumps({"prompt": prompt})
    world.put(seq, "", kind="task", content=content, process_after=due, **columns)


async def test_open_tasks_are_listed_by_series_with_the_next_run_first(world: World) -> None:
    task(world, 2, "later", at(90_000), recurrence="@daily", series_id="task-1", zone="Europe/Berlin")
    task(world, 4, "sooner\nand  more", at(3600), status="paused")
    task(world, 6, "done", at(3600), status="completed", series_id="task-1")
    assert (await listed(world)).splitlines() == [
        "in-4: paused, next run 2025-03-01 13:00:00 (UTC local time): sooner and more",
        "task-1: next run 2025-03-02 14:00:00 (Europe/Berlin local time), recurrence @daily: later",
    ]


async def test_the_list_shows_the_beginning_of_a_script(world: World) -> None:
    content = {"prompt": "tea", "script": "set -e\n" + "x" * 300}
    world.put(2, "", kind="task", content=json.dumps(content), process_after=at(3600))
    line = await listed(world)
    assert line == f"in-2: next run 2025-03-01 13:00:00 (UTC local time): tea; script: set -e {'x' * 193} …"


async def test_without_tasks_the_list_says_so(world: World) -> None:
    assert await listed(world) == "there are no tasks"


async def test_late_occurrences_are_one_task_with_the_next(world: World) -> None:
    for seq, series in ((2, "task-1"), (4, "task-2")):
        task(world, seq, "x", at(-60), series_id=series)
        task(world, seq + 10, "x", at(60), series_id=series, recurrence="@daily")
    with closing(apsw.Connection(str(world.config.inbound_db))) as connection:
        found = [(each.id, each.next_run, each.recurrence) for each in open_tasks(connection, EPOCH)]
    late = datetime(2025, 3, 1, 11, 59, tzinfo=UTC)
    assert found == [("task-1", late, "@daily"), ("task-2", late, "@daily")]


async def test_an_unreadable_task_is_listed_without_a_prompt(world: World) -> None:
    world.put(2, kind="task", content="{", process_after="garbage", status="paused", zone="Mars/X")
    assert await listed(world) == "in-2: paused, next run 2025-03-01 12:00:00 (UTC): "
