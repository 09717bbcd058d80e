"""The tools of an agent, called as echo calls them: `!<tool> <json>`."""

import json
import os
from contextlib import closing
from pathlib import Path

import apsw
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from agent_runner.config import RunnerConfig
from agent_runner.errors import ToolError
from agent_runner.outbox import safe_name
from agent_runner.providers import Toolbox
from agent_runner.records import Result, Turn
from agent_runner.tools import TOOLS
from agent_runner.trees import remove_tree
from tests.deep_trees import make_deep
from tests.runner.world import Listener, Row, Script, World, of


async def call(world: World, seq: int, tool: str, **arguments: object) -> str:
    """Let a runner call a tool. Return its reply."""
    message = world.put(seq, f"!{tool} {json.dumps(arguments)}")
    await world.serve(Listener(), message)
    ((content,),) = world.out("SELECT content FROM messages_out WHERE in_reply_to = ?", message)
    return str(json.loads(str(content))["text"])


def sent(world: World) -> list[Row]:
    """Return the addresses and contents of sent rows."""
    query = "SELECT channel_type, platform_id, thread_id, content FROM messages_out"
    rows = world.out(f"{query} WHERE in_reply_to IS NULL ORDER BY seq")
    return [(*address, json.loads(str(content))) for *address, content in rows]


def befriend(world: World) -> None:
    """Give the agent two destinations."""
    world.host("INSERT INTO destinations VALUES ('family', NULL, 'channel', 'tg', 'chat-9', NULL)")
    world.host("INSERT INTO destinations VALUES ('cook', 'Cook', 'agent', NULL, NULL, 'ag-cook')")


# -- send_message --------------------------------------------------------------


async def test_a_message_without_destination_goes_to_the_chat_that_is_answered(world: World) -> None:
    message = world.put(2, '!send_message {"text": "x"}', platform_id="chat-5", thread_id="t")
    await world.serve(Listener(), message)
    assert sent(world) == [("tg", "chat-5", "t", {"markdown": "x"})]


async def test_a_message_goes_to_a_named_destination(world: World) -> None:
    befriend(world)
    assert await call(world, 2, "send_message", text="hi", to="family") == "sent as message 3"
    assert sent(world) == [("tg", "chat-9", None, {"markdown": "hi"})]


async def test_a_message_to_an_agent_goes_to_its_group(world: World) -> None:
    befriend(world)
    await call(world, 2, "send_message", text="hi", to="cook")
    assert sent(world) == [("agent", "ag-cook", None, {"markdown": "hi"})]


async def test_naming_the_own_chat_stays_in_its_thread(world: World) -> None:
    world.host("INSERT INTO destinations VALUES ('here', NULL, 'channel', 'tg', 'chat-1', NULL)")
    message = world.put(2, '!send_message {"text": "x", "to": "here"}', thread_id="t7")
    await world.serve(Listener(), message)
    assert sent(world) == [("tg", "chat-1", "t7", {"markdown": "x"})]


async def test_an_unknown_destination_is_refused_with_the_names_there_are(world: World) -> None:
    answer = "there is no destination 'mum'; there are: "
    assert await call(world, 2, "send_message", text="x", to="mum") == answer + "none"
    befriend(world)
    assert await call(world, 4, "send_message", text="x", to="mum") == answer + "cook, family"
    assert sent(world) == []


async def test_destinations_are_asked_for_at_each_send(world: World) -> None:
    async def act(_turn: Turn, tools: Toolbox) -> Result:
        befriend(world)
        await tools.call("send_message", {"text": "1", "to": "family"})
        world.host("DELETE FROM destinations")
        with pytest.raises(ToolError, match="no destination"):
            await tools.call("send_message", {"text": "2", "to": "family"})
        return Result()

    await world.serve(Script(act), world.put(2))
    assert len(sent(world)) == 1


async def test_a_tools_message_is_committed_before_it_returns(world: World) -> None:
    async def act(turn: Turn, tools: Toolbox) -> Result:
        result = await tools.call("send_message", {"text": "x"})
        assert world.out("SELECT seq, turn_id FROM messages_out") == [(3, turn.turn_id)]
        assert result == "sent as message 3"
        return Result()

    await world.serve(Script(act), world.put(2))


async def test_tools_may_run_at_the_same_time(world: World) -> None:
    async def act(_turn: Turn, tools: Toolbox) -> Result:
        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(tools.call, "send_message", {"text": str(number)})
        return Result()

    await world.serve(Script(act), world.put(2))
    assert of(world.out("SELECT seq FROM messages_out ORDER BY seq")) == list(range(3, 43, 2))
    assert world.out("SELECT * FROM container_state") == []


async def test_a_running_tool_is_shown_with_the_time_it_declares(world: World) -> None:
    shown: list[Row] = []

    def look(_n: int, when: str) -> None:
        if when == "after":
            shown.extend(world.out("SELECT current_tool, tool_declared_timeout_ms FROM container_state"))

    world.executor.on_commit = look
    await call(world, 2, "send_message", text="x")
    assert set(shown) == {("send_message", 30_000)}
    assert world.out("SELECT * FROM container_state") == []


async def test_a_tool_that_the_host_blocks_fails_in_time(world: World) -> None:
    async def act(_turn: Turn, tools: Toolbox) -> Result:
        with closing(apsw.Connection(str(world.config.inbound_db))) as host:
            host.execute("BEGIN EXCLUSIVE")
            with trio.fail_after(5.1), pytest.raises(ToolError, match="host does not answer"):
                await tools.call("send_message", {"text": "x", "to": "family"})
        return Result()

    await world.serve(Script(act), world.put(2))


# -- arguments -----------------------------------------------------------------


def question(options: object, **more: object) -> str:
    """Return a call of `ask_user_question`."""
    arguments = {"title": "a", "question": "b", "options": options, **more}
    return f"!ask_user_question {json.dumps(arguments)}"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("!send_message", "the argument 'text' is missing"),
        ('!send_message {"text": "x", "chat": 1}', "unknown argument 'chat'; there are: text, to"),
        ('!send_message {"text": 7}', "the argument 'text' must be a string"),
        ('!send_message {"text": null}', "the argument 'text' must be a string"),
        ('!send_message {"text": " "}', "the argument 'text' is empty"),
        ('!add_reaction {"message_id": "2", "emoji": "x"}', "the argument 'message_id' must be an integer"),
        ('!add_reaction {"message_id": true, "emoji": "x"}', "the argument 'message_id' must be an integer"),
        ("!send_message [1]", "the arguments are not an object"),
        ("!send_message {", "the arguments are not JSON: Expecting property name"),
        (question("c"), "the argument 'options' must be an array"),
        (question([]), "options is missing: without options, a question needs free_text"),
        (question([5]), "the argument 'options[0]' must be a string"),
        (question(["c" * 101]), "the argument 'options[0]' is longer than 100 characters"),
        (question(["c", "c"]), "the argument 'options' has an item twice"),
        (question(["c"], timeout_s=0), "the argument 'timeout_s' must be at least 1"),
        (question(["c"], timeout_s=61), "the argument 'timeout_s' must be at most 60"),
        (
            "!wow",
            "there is no tool 'wow'; there are: add_reaction, ask_user_question, cancel_task, ",
        ),
    ],
)
async def test_wrong_arguments_are_explained_to_the_agent(world: World, text: str, answer: str) -> None:
    await world.serve(Listener(), world.put(2, text))
    (said,) = world.texts()
    assert said.startswith(answer)


def test_every_tool_has_a_closed_json_schema() -> None:
    for name, tool in TOOLS.items():
        assert tool.spec.name == name
        assert tool.spec.description
        assert tool.timeout > 0
        assert json.loads(json.dumps(tool.spec.parameters))["additionalProperties"] is False


# -- send_card, get_status ------------------------------------------------------


async def test_a_card_has_a_text_for_channels_without_cards(world: World) -> None:
    card = {
        "title": "Trip",
        "lines": ["Platform 4", "Seat 12"],
        "fields": {"Departure": "9:40"},
        "url": "https://example.org/trip",
    }
    assert await call(world, 2, "send_card", **card) == "sent as message 3"
    ((*_, content),) = sent(world)
    text = "Trip\nPlatform 4\nSeat 12\nDeparture: 9:40\nhttps://example.org/trip"
    assert content == {"type": "card", "card": card, "fallbackText": text}


@pytest.mark.parametrize(
    ("wrong", "answer"),
    [
        ({"lines": "x"}, "the argument 'lines' must be an array"),
        ({"fields": {"a": 1}}, "the argument 'fields.a' must be a string"),
        ({"fields": {"a" * 201: "x"}}, "the argument 'fields'"),
        ({"url": "javascript:alert(1)"}, "the argument 'url' "),
    ],
)
async def test_a_wrong_card_is_explained(world: World, wrong: dict[str, object], answer: str) -> None:
    assert (await call(world, 2, "send_card", title="Trip", **wrong)).startswith(answer)


async def test_the_agent_can_look_up_its_state(world: World) -> None:
    world.put(4, "waits", process_after="2025-03-01T12:10:00.000Z")
    assert (await call(world, 2, "get_status")).splitlines() == [
        "Agent: Nano",
        "Provider: listener, model: its default",
        "Sandbox: no, so there are chat tools only",
        "Messages waiting: 1",
        "Open questions: 0",
        "Open tasks: 0",
    ]


# -- send_file -----------------------------------------------------------------


async def test_a_file_is_in_the_outbox_before_its_row_and_gone_after_its_delivery(world: World) -> None:
    (world.config.workspace / "plan.txt").write_text("sow")
    assert await call(world, 2, "send_file", path="plan.txt", text="look") == "sent as message 3"
    ((*_, content),) = sent(world)
    assert content == {"markdown": "look", "files": ["plan.txt"]}
    ((id_,),) = world.out("SELECT id FROM messages_out WHERE seq = 3")
    folder = world.config.outbox / str(id_)
    assert (folder / "plan.txt").read_text() == "sow"
    world.deliver(id_)
    async with world.running():
        await trio.sleep(1)
    assert not folder.exists()


async def test_a_file_is_removed_by_the_runner_that_sent_it_once_it_is_delivered(world: World) -> None:
    (world.config.workspace / "a").write_text("x")
    async with world.running():
        await world.until_acked(world.put(2, '!send_file {"path": "a"}'))
        ((id_,),) = world.out("SELECT id FROM messages_out WHERE seq = 3")
        await trio.sleep(100)
        assert (world.config.outbox / str(id_)).exists()
        world.deliver(id_, None, "failed")
        await trio.sleep(1)
        assert not (world.config.outbox / str(id_)).exists()


async def test_a_folder_that_is_deeper_than_any_path_is_removed_by_the_next_runner(world: World) -> None:
    orphan = world.config.outbox / "out-orphan"
    make_deep(orphan)
    try:
        async with world.running():
            await world.until_acked(world.put(2, "hello"))
        assert not orphan.exists()
    finally:
        if orphan.exists():  # pytest could not remove it
            remove_tree(orphan)


async def test_a_file_whose_message_never_came_to_be_is_removed_by_the_next_runner(world: World) -> None:
    orphan = world.config.outbox / "out-orphan"
    orphan.mkdir()
    (orphan / "x").write_text("x")
    async with world.running():
        await trio.sleep(1)
    assert not orphan.exists()


def make(workspace: Path) -> None:
    (workspace / "dir").mkdir()
    (workspace.parent / "secret").write_text("s")
    (workspace / "link").symlink_to("../secret")
    (workspace / "inner").symlink_to("dir")
    os.mkfifo(workspace / "pipe")


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("../secret", "'../secret' is outside the workspace"),
        ("/etc/passwd", "'/etc/passwd' is outside the workspace"),
        ("link", "'link' is outside the workspace"),
        ("dir", "'dir' is not a regular file"),
        ("inner", "'inner' is not a regular file"),
        ("pipe", "'pipe' is not a regular file"),
        ("none", "there is no file 'none' in the workspace"),
        ("a\0b", "there is no file 'a\\x00b' in the workspace"),
    ],
)
async def test_only_files_of_the_workspace_are_sent(world: World, path: str, answer: str) -> None:
    make(world.config.workspace)
    assert await call(world, 2, "send_file", path=path) == answer
    assert sent(world) == []
    assert list(world.config.outbox.iterdir()) == []


@given(st.text(min_size=1))
def test_the_name_of_any_file_becomes_fit_for_a_path(name: str) -> None:
    assert len(safe_name(name)) in range(1, 129)
    assert all(char.isascii() and (char.isalnum() or char in "._-") for char in safe_name(name))
    assert not safe_name(name).startswith(".")


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("a.txt", "a.txt"),
        (".env", "_env"),
        ("Über uns.pdf", "_ber_uns.pdf"),
        ("x" * 200 + ".pdf", "x" * 124 + ".pdf"),
    ],
)
def test_a_name_keeps_what_it_can(name: str, safe: str) -> None:
    assert safe_name(name) == safe


# -- edit_message, add_reaction ------------------------------------------------


async def test_a_reaction_to_a_user_s_message_takes_its_platform_id_and_its_chat(world: World) -> None:
    await world.serve(Listener(), world.put(2, "hello", platform_id="chat-8", thread_id="t"))
    assert await call(world, 4, "add_reaction", message_id=2, emoji="👍") == "message 2 will get 👍"
    content = {"operation": "reaction", "messageId": "p2", "emoji": "👍"}
    assert sent(world) == [("tg", "chat-8", "t", content)]


async def test_an_edit_of_an_own_message_takes_the_id_that_its_platform_gave(world: World) -> None:
    await world.serve(Listener(), world.put(2, "hello"))
    ((id_,),) = world.out("SELECT id FROM messages_out")
    world.deliver(id_, "tg-77")
    assert await call(world, 4, "edit_message", message_id=3, text="better") == "message 3 will be edited"
    assert sent(world) == [
        ("tg", "chat-1", None, {"operation": "edit", "messageId": "tg-77", "markdown": "better"})
    ]


@pytest.mark.parametrize(
    ("outcome", "answer"),
    [
        (None, "message 3 is not delivered yet; try again in a moment"),
        ((None, "failed"), "message 3 could not be delivered"),
        ((None, "delivered"), "message 3 cannot be changed: its channel has no message ids"),
    ],
)
async def test_an_own_message_that_cannot_be_edited_says_why(
    world: World, outcome: tuple[str | None, str] | None, answer: str
) -> None:
    await world.serve(Listener(), world.put(2, "hello"))
    ((id_,),) = world.out("SELECT id FROM messages_out")
    if outcome is not None:
        world.deliver(id_, *outcome)
    assert await call(world, 4, "edit_message", message_id=3, text="x") == answer
    assert sent(world) == []


@pytest.mark.parametrize("number", [-2, 0, 98, 99, 1 << 63, 10**30])
async def test_an_unknown_number_is_refused(world: World, number: int) -> None:
    assert (
        await call(world, 2, "edit_message", message_id=number, text="x") == f"there is no message {number}"
    )


async def test_only_chat_messages_take_reactions(world: World) -> None:
    await world.serve(Listener(), world.put(2, kind="task", content='{"prompt": "x"}'))
    assert (
        await call(world, 4, "add_reaction", message_id=2, emoji="x")
        == "message 2 is not a message of a chat"
    )


def test_the_lock_and_the_outbox_lie_beside_the_database() -> None:
    config = RunnerConfig()
    assert (str(config.owner_lock), str(config.outbox)) == ("/workspace/owner", "/workspace/outbox")
