"""Slash commands: answered by the runner itself, exactly once, in the order of the messages."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import NoReturn

import pytest
import trio
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from agent_runner.commands.call import NAMES, Call, read_call, read_text
from agent_runner.commands.registry import COMMANDS
from agent_runner.errors import ProviderError, ProviderOpenError
from agent_runner.providers import Provider, ProviderContext, Toolbox, TurnHandler
from agent_runner.records import Reply, Result, Turn
from agent_runner.runner import run_runner
from tests.runner.test_runner_crash import When, crash
from tests.runner.world import Killed, Listener, Script, World, at

OTHER = json.dumps({"id": "p", "text": "{}", "sender": "Bob", "senderId": "tg:2"})


def from_other(text: str) -> str:
    """Return the content of a message of somebody who is no administrator."""
    return OTHER.replace("{}", text)


async def answers(world: World, *texts: str) -> list[str]:
    """Return what is sent after these messages of an administrator."""
    ids = [world.put(2 * n, text) for n, text in enumerate(texts, 1)]
    await world.serve(Listener(), *ids)
    return world.texts()


# -- what is a command ---------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("/help", Call("help")),
        ("  /HELP\n", Call("help")),
        ("/model  small-2 ", Call("model", "small-2")),
        ("/stop@nano_bot", Call("stop")),
        ("/model@nano_bot x", Call("model", "x")),
        ("@Nano /stop", Call("stop")),
        ("<@123> /stop", Call("stop")),
        ("@nano, /status now", Call("status", "now")),
        ("/helpme", None),
        ("/unknown", None),
        ("/stop.", None),
        ("please /stop", None),
        ("stop", None),
        ("/", None),
    ],
)
def test_a_command_is_a_known_name_after_a_slash(text: str, call: Call | None) -> None:
    assert read_text(text) == call


def test_every_name_has_a_command() -> None:
    assert set(COMMANDS) == set(NAMES)


@given(st.sampled_from(["chat", "chat-sdk", "task", 1]), st.text() | st.binary() | st.none() | st.integers())
def test_no_content_of_a_row_breaks_the_search_for_a_command(kind: object, content: object) -> None:
    read_call(kind, "tg", content)
    read_call(kind, "tg", json.dumps({"text": str(content)}))


async def test_other_agents_and_tasks_call_no_commands(world: World) -> None:
    texts = [
        world.put(2, "/status", channel_type="agent", platform_id="ag-1"),
        world.put(4, kind="task", content=json.dumps({"prompt": "/status"})),
    ]
    heard = Listener()
    await world.serve(heard, *texts)
    assert heard.heard == [texts]


async def test_unknown_commands_and_context_are_for_the_agent(world: World) -> None:
    context, message = world.put(2, "/help", trigger=False), world.put(4, "/unknown")
    heard = Listener()
    await world.serve(heard, context, message)
    assert world.texts() == ["echo: /unknown"]
    assert [row.id for row in heard.turns[0].context] == [context]


# -- order, rights, deaths -----------------------------------------------------


async def test_a_command_has_a_turn_of_its_own_which_no_provider_sees(world: World) -> None:
    ids = [world.put(2, "one"), world.put(4, "/tasks"), world.put(6, "two")]
    heard = Listener()
    await world.serve(heard, *ids)
    assert heard.heard == [["in-2"], ["in-6"]]
    assert world.texts() == ["echo: one", "There are no tasks.", "echo: two"]
    assert world.out("SELECT in_reply_to, platform_id FROM messages_out WHERE in_reply_to = 'in-4'") == [
        ("in-4", "chat-1")
    ]


@pytest.mark.parametrize("text", ["/clear", "/compact", "/stop", "/model small", "/model default"])
async def test_only_administrators_may_change_something(world: World, text: str) -> None:
    provider = Memory({"history": "x"})
    await world.serve(provider, world.put(2, content=from_other(text)))
    (said,) = world.texts()
    assert said.startswith(f"Only an administrator of this agent may use {text.partition(' ')[0]}")
    assert provider.told == []
    assert world.out("SELECT key FROM session_state") == [("history",)]


@pytest.mark.parametrize("text", ["/help", "/status", "/tasks", "/model"])
async def test_everybody_may_look(world: World, text: str) -> None:
    await world.serve(Listener(), world.put(2, content=from_other(text)))
    (said,) = world.texts()
    assert not said.startswith("Only an administrator")


async def test_an_administrator_of_a_chat_library_s_message_is_recognized(world: World) -> None:
    content = {"id": "x", "text": "/stop", "author": {"userId": "1"}}
    await world.serve(Listener(), world.put(2, kind="chat-sdk", content=json.dumps(content)))
    assert world.texts() == ["Nothing is running."]


COMMANDS_THAT_CHANGE = ["/clear", "/model small", "/compact", "/help"]


@pytest.mark.parametrize("text", COMMANDS_THAT_CHANGE)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("commit", range(1, 4))
async def test_after_a_death_at_any_commit_a_command_is_answered_exactly_once(
    world: World, text: str, commit: int, when: When
) -> None:
    message = world.put(2, text)
    other = world.put(4, "hi")
    await crash(world, commit, when, Memory({}))
    world.settle()
    left = [id_ for id_ in (message, other) if world.acks().get(id_) != "completed"]
    await world.serve(Memory({}), *left)
    assert world.out("SELECT in_reply_to FROM messages_out ORDER BY seq") in (
        [(message,), (other,)],
        [(other,), (message,)],  # the command is tried again after its back-off
    )


async def test_a_quick_command_is_claimed_and_answered_in_one_commit(world: World) -> None:
    message = world.put(2, "/status")
    seen = list[object]()
    world.executor.on_commit = lambda _n, _when: seen.append(world.acks().get(message))
    await world.serve(Listener(), message)
    assert set(seen) == {None, "completed"}


# -- each of them --------------------------------------------------------------


@define(eq=False)
class Memory:
    """A provider with a conversation, which records what it is told."""

    state: dict[str, str]
    told: list[str] = field(factory=list)
    name: str = "memory"
    error: Exception | None = None

    @asynccontextmanager
    async def open(self, context: ProviderContext) -> AsyncGenerator[TurnHandler]:
        for key, value in self.state.items():
            await context.state.set(key, value)
        yield self

    async def run(self, turn: Turn, _tools: Toolbox) -> Result:
        await trio.lowlevel.checkpoint()
        return Result(tuple(Reply("ok", message.id) for message in turn.messages))

    async def compact(self) -> str:
        await trio.lowlevel.checkpoint()
        self.told.append("compact")
        if self.error:
            raise self.error
        return "12 turns became one summary."

    async def forget(self) -> None:
        await trio.lowlevel.checkpoint()
        self.told.append("forget")
        if self.error:
            raise self.error


async def test_help_lists_all_commands(world: World) -> None:
    (said,) = await answers(world, "/help")
    for command in COMMANDS.values():
        assert f"{command.usage}" in said
        assert command.summary in said


async def test_clear_removes_everything_but_the_model_and_tells_the_provider(world: World) -> None:
    provider = Memory({"history/1": "a", "model": "small", "other": "b"})
    await world.serve(provider, world.put(2, "/clear"), world.put(4, "hi"))
    assert world.out("SELECT key FROM session_state") == [("model",)]
    assert provider.told == ["forget"]


async def test_clear_drops_the_context_that_no_turn_has_seen(world: World) -> None:
    context, command = world.put(2, "secret", trigger=False), world.put(4, "/clear")
    heard = Listener()
    await world.serve(heard, context, command, world.put(6, "hi"))
    assert [turn.context for turn in heard.turns] == [()]


async def test_other_commands_leave_the_context_to_the_next_turn(world: World) -> None:
    context, command = world.put(2, "by the way", trigger=False), world.put(4, "/tasks")
    heard = Listener()
    await world.serve(heard, context, command, world.put(6, "hi"))
    assert [[row.id for row in turn.context] for turn in heard.turns] == [[context]]


async def test_a_provider_that_fails_to_forget_ends_nothing(world: World) -> None:
    provider = Memory({"history/1": "a"}, error=ValueError("x"))
    await world.serve(provider, world.put(2, "/clear"), world.put(4, "hi"))
    assert world.texts()[1:] == ["ok"]


async def test_compact_asks_the_provider(world: World) -> None:
    provider = Memory({})
    await world.serve(provider, world.put(2, "/compact"))
    assert world.texts() == ["12 turns became one summary."]


@pytest.mark.parametrize("error", [ProviderError("it is asleep"), ValueError("it is asleep")])
async def test_compact_says_why_it_did_not_work(world: World, error: Exception) -> None:
    await world.serve(Memory({}, error=error), world.put(2, "/compact"))
    (said,) = world.texts()
    assert said.startswith("/compact did not work: ")
    assert said.endswith("it is asleep")


async def test_compact_with_a_provider_without_a_conversation_says_so(world: World) -> None:
    assert await answers(world, "/compact") == [
        "There is nothing to compact: the provider listener keeps no conversation."
    ]


async def test_a_model_can_be_chosen_and_taken_back(world: World) -> None:
    said = await answers(world, "/model", "/model small-2", "/model", "/model default", "/model two words")
    assert said == [
        "Provider listener, model its default.",
        "Model from now on: small-2 (chosen here; otherwise its default). Before: its default.",
        "Provider listener, model small-2 (chosen here; otherwise its default).",
        "Model from now on: its default. Before: small-2 (chosen here; otherwise its default).",
        "A model's name is one word, such as /model small-2. /model default goes back.",
    ]
    assert world.out("SELECT * FROM session_state") == []


async def test_tasks_lists_open_tasks_in_the_user_s_zone(world: World) -> None:
    content = json.dumps({"prompt": "water the plants"})
    world.put(
        2, kind="task", content=content, process_after=at(3600), recurrence="@daily", series_id="task-1"
    )
    await world.serve(Listener(), world.put(4, "/tasks"))
    assert world.texts() == ["2025-03-01 13:00:00 (UTC local time), again @daily: water the plants [task-1]"]


async def test_status_says_what_waits(world: World) -> None:
    async def act(_turn: Turn, tools: Toolbox) -> Result:
        await tools.call(
            "ask_user_question", {"title": "a", "question": "b", "options": ["c"], "timeout_s": 1}
        )
        return Result()

    world.put(2, "ask")
    world.put(4, kind="task", content='{"prompt": "tea"}', process_after=at(7200))
    async with world.running(Script(act)):
        await world.until_acked("in-2")
        await world.until_acked(world.put(6, "/status"))
    assert world.texts()[-1].splitlines() == [
        "Agent: Nano",
        "Provider: script, model: its default",
        "Sandbox: no, so there are chat tools only",
        "Messages waiting: 0",
        "Open questions: 1",
        "Open tasks: 1, next 2025-03-01 14:00:00 (UTC local time)",
    ]


async def test_status_has_the_tokens_of_the_events(world: World) -> None:
    @define
    class Counting(Memory):
        @asynccontextmanager
        async def open(self, context: ProviderContext) -> AsyncGenerator[TurnHandler]:
            for _ in range(2):
                await context.events.record("usage", {"input_tokens": 1000, "output_tokens": 20})
            yield self

    await world.serve(Counting({}), world.put(2, "/status"))
    assert world.texts()[0].endswith("Tokens: 2,000 read, 40 written (of the newest events)")


async def test_commands_are_answered_while_the_provider_cannot_be_opened(world: World) -> None:
    class Shut(Memory):
        def open(self, context: ProviderContext) -> NoReturn:
            del context
            raise ProviderError("no key")

    message = world.put(2, "hi")
    ids = [world.put(4, "/status"), world.put(6, "/model small"), world.put(8, "/compact")]
    provider: Provider = Shut({})
    with pytest.raises(ProviderOpenError):
        await run_runner(world.config, world.seams(provider))
    assert world.acks() == {message: "released", **dict.fromkeys(ids, "completed")}
    status, model, compact = world.texts()
    problem = "provider 'memory' cannot be opened: no key"
    assert status.endswith(f"No message can be answered now: {problem}")
    assert model.startswith("Model from now on: small")
    assert compact == f"/compact did not work: {problem}"


# -- /stop ---------------------------------------------------------------------


async def forever(_turn: Turn, tools: Toolbox) -> Result:
    await tools.call("send_message", {"text": "I begin"})
    await trio.sleep_forever()
    raise AssertionError


async def test_stop_aborts_the_running_turn_within_a_second(world: World) -> None:
    message = world.put(2, "work")
    async with world.running(Script(forever)):
        await trio.sleep(100)
        began = trio.current_time()
        await world.until_acked(message, world.put(4, "/stop"))
        assert trio.current_time() - began < 1
        await trio.sleep(1000)
    assert world.texts() == ["I begin", "Stopped."]
    assert world.out("SELECT in_reply_to FROM messages_out ORDER BY seq") == [(None,), ("in-4",)]
    assert world.out("SELECT * FROM container_state") == []


async def test_a_turn_and_its_stop_are_completed_in_one_commit(world: World) -> None:
    message = world.put(2, "work")
    seen = set[tuple[object, object]]()

    def look(_n: int, _when: str) -> None:
        seen.add((world.acks().get(message), world.acks().get("in-4")))

    world.executor.on_commit = look
    async with world.running(Script(forever)):
        await world.until(world.texts)
        await world.until_acked(message, world.put(4, "/stop"))
    assert seen == {(None, None), ("processing", None), ("completed", "completed")}


async def test_stop_ends_a_task_and_the_follow_ups_of_a_turn(world: World) -> None:
    async def act(_turn: Turn, tools: Toolbox) -> Result:
        while True:
            await tools.follow_ups()

    task = world.put(2, kind="task", content='{"prompt": "x"}')
    async with world.running(Script(act)):
        await trio.sleep(1)
        follow_up = world.put(4, "more")
        await trio.sleep(1)
        await world.until_acked(task, follow_up, world.put(6, "/stop"))
    assert world.texts() == ["Stopped."]


async def test_a_stop_that_waits_behind_its_message_stops_it(world: World) -> None:
    ids = [world.put(2, "work"), world.put(4, "/stop")]
    await world.serve(Script(forever), *ids)
    assert world.texts() == ["I begin", "Stopped."]


async def test_a_stop_of_somebody_else_does_not_stop_the_turn(world: World) -> None:
    async def act(turn: Turn, _tools: Toolbox) -> Result:
        await trio.sleep(20)
        return Result((Reply("done", turn.messages[0].id),))

    message = world.put(2, "work")
    async with world.running(Script(act)):
        await trio.sleep(1)
        await world.until_acked(message, world.put(4, content=from_other("/stop")))
    assert world.texts() == [
        "done",
        "Only an administrator of this agent may use /stop here to end what I am working on.",
    ]


async def test_a_command_and_the_messages_after_it_are_no_follow_ups(world: World) -> None:
    taken = list[str]()

    async def act(turn: Turn, tools: Toolbox) -> Result:
        with trio.move_on_after(20):
            while True:
                taken.extend(row.id for row in await tools.follow_ups())
        return Result((), (*taken, turn.messages[0].id))

    first = world.put(2, "work")
    async with world.running(Script(act)):
        await trio.sleep(1)
        ids = [world.put(4, "more"), world.put(6, "/tasks"), world.put(8, "after")]
        await world.until_acked(first, "in-4")
        assert taken == ["in-4"]
        await world.until_acked(*ids)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("commit", range(1, 7))
async def test_after_a_death_at_any_commit_a_stopped_turn_does_not_go_on(
    world: World, commit: int, when: When
) -> None:
    ids = [world.put(2, "work"), world.put(4, "/stop")]
    died = False

    def kill(n: int, now: str) -> None:
        nonlocal died
        if (n, now) == (commit, when):
            died = True
            raise Killed

    world.executor.on_commit = kill
    with trio.move_on_after(100):
        with suppress(Killed):
            await run_runner(world.config, world.seams(Script(forever)))
    world.executor.on_commit = None
    if died:
        world.settle()
    left = [id_ for id_ in ids if world.acks().get(id_) != "completed"]
    if left:
        await world.serve(Script(forever), *left)
    assert world.texts().count("Stopped.") == 1
    assert "Nothing is running." not in world.texts()


async def test_stop_with_nothing_running_says_so(world: World) -> None:
    assert await answers(world, "/stop") == ["Nothing is running."]


async def test_stop_gives_up_a_message_that_waits_for_its_next_try(world: World) -> None:
    message = world.put(2, "work", tries=1, process_after=at(500))
    heard = Listener()
    async with world.running(heard):
        await world.until_acked(message, world.put(4, "/stop"))
        await trio.sleep(1000)
    assert world.texts() == ["Stopped."]
    assert heard.turns == []


async def test_the_next_turn_sees_the_messages_of_a_stopped_one_as_context_once(world: World) -> None:
    heard = Listener()

    async def act(turn: Turn, tools: Toolbox) -> Result:
        if turn.messages[0].content["text"] == "work":
            await trio.sleep_forever()
        return await heard.run(turn, tools)

    async with world.running(Script(act)):
        first = world.put(2, "work")
        await trio.sleep(1)
        await world.until_acked(first, world.put(4, "/stop"))
        world.host("UPDATE messages_in SET status = 'completed'")
        await world.until_acked(world.put(6, "/tasks"), world.put(8, "shorter"), world.put(10, "thanks"))
    texts = [[row.content["text"] for row in turn.context] for turn in heard.turns]
    assert texts[0] == ["work"]
    assert texts[1:] in ([], [[]])


async def test_clear_forgets_a_stopped_turn(world: World) -> None:
    heard = Listener()

    async def act(turn: Turn, tools: Toolbox) -> Result:
        if turn.messages[0].content["text"] == "work":
            await trio.sleep_forever()
        return await heard.run(turn, tools)

    ids = [world.put(2, "work"), world.put(4, "/stop"), world.put(6, "/clear"), world.put(8, "hi")]
    await world.serve(Script(act), *ids)
    assert [turn.context for turn in heard.turns] == [()]


async def test_stop_aborts_a_compaction_too(world: World) -> None:
    @define
    class Slow(Memory):
        async def compact(self) -> str:
            await trio.sleep_forever()
            raise AssertionError

    await world.serve(Slow({}), world.put(2, "/compact"), world.put(4, "/stop"), world.put(6, "hi"))
    assert world.texts() == ["Stopped.", "ok"]
    assert world.out("SELECT * FROM meta WHERE key = 'stopped'") == []
