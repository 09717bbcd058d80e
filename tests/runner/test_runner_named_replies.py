"""Final texts that go to a destination by its name."""

import json
from contextlib import closing

import apsw
import pytest

from agent_runner.providers import Toolbox
from agent_runner.records import Reply, Result, Turn
from tests.runner.test_runner_tools import befriend
from tests.runner.world import Row, Script, World


def answering(*replies: Reply) -> Script:
    async def act(_turn: Turn, _tools: Toolbox) -> Result:
        return Result(replies)

    return Script(act)


def sent(world: World) -> list[Row]:
    """Return address, answered message and text of each message, in order."""
    rows = world.out(
        "SELECT channel_type, platform_id, thread_id, in_reply_to, content FROM messages_out ORDER BY seq"
    )
    return [(*row[:4], json.loads(str(row[4]))["text"]) for row in rows]


async def test_texts_go_to_the_conversation_and_to_destinations_in_one_commit(world: World) -> None:
    befriend(world)
    message = world.put(2)
    await world.serve(answering(Reply("here", message), Reply("there", to="family")), message)
    assert sent(world) == [("tg", "chat-1", None, message, "here"), ("tg", "chat-9", None, None, "there")]


async def test_the_own_chat_by_name_is_the_thread_that_is_answered(world: World) -> None:
    world.host("INSERT INTO destinations VALUES ('here', NULL, 'channel', 'tg', 'chat-1', NULL)")
    message = world.put(2, thread_id="t7")
    await world.serve(answering(Reply("x", to="here")), message)
    assert sent(world) == [("tg", "chat-1", "t7", message, "x")]


async def test_a_text_to_an_agent_that_asked_is_its_answer(world: World) -> None:
    befriend(world)
    first, asked = world.put(2), world.put(4, channel_type="agent", platform_id="ag-cook")
    await world.serve(answering(Reply("x", first, to="cook")), first, asked)
    assert sent(world) == [("agent", "ag-cook", None, asked, "x")]


async def test_a_text_to_a_name_that_is_gone_is_an_error_event_and_goes_nowhere(world: World) -> None:
    befriend(world)
    message = world.put(2)

    async def act(_turn: Turn, _tools: Toolbox) -> Result:
        world.host("DELETE FROM destinations WHERE name = 'family'")
        return Result((Reply("secret", message, to="family"), Reply("hi", message)))

    await world.serve(Script(act), message)
    assert sent(world) == [("tg", "chat-1", None, message, "hi")]
    [(data,)] = world.out("SELECT data FROM events WHERE kind = 'error'")
    assert "there is no destination 'family' any more, so its text was not sent" in str(data)


async def test_a_destination_that_is_no_text_releases_the_turn(world: World) -> None:
    message = world.put(2)
    async with world.running(answering(Reply("x", to=7))):  # type: ignore[arg-type]  # as a provider may do it
        await world.until_acked(message, status="released")
    assert sent(world) == []


@pytest.mark.parametrize("name", ["family", "gone"])
async def test_a_host_that_cannot_be_read_at_the_end_of_a_turn_costs_no_answer(
    world: World, name: str
) -> None:
    befriend(world)
    message = world.put(2)
    with closing(apsw.Connection(str(world.config.inbound_db))) as writer:

        async def act(_turn: Turn, _tools: Toolbox) -> Result:
            writer.execute("BEGIN EXCLUSIVE")
            return Result((Reply("there", to=name), Reply("here", message)))

        async with world.running(Script(act)):
            await world.until_acked(message)
    assert [row[4] for row in sent(world)] == [*(["there"] if name == "family" else []), "here"]
