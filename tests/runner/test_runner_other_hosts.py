"""A runner of ours on the inbound.db of another build's host, which has fewer columns and tables."""

import json
from contextlib import closing

import apsw
import pytest

from agent_runner.errors import DatabaseError
from agent_runner.other_hosts import show_complete
from agent_runner.providers.echo import Echo
from agent_runner.runner import run_runner
from tests.runner.test_runner_questions import CALL, cards
from tests.runner.world import OWN_CHAT, Listener, World, at

SEED = """
    CREATE TABLE messages_in (
      id TEXT PRIMARY KEY, seq INTEGER UNIQUE, kind TEXT NOT NULL, timestamp TEXT NOT NULL,
      status TEXT DEFAULT 'pending', process_after TEXT, recurrence TEXT, tries INTEGER DEFAULT 0,
      platform_id TEXT, channel_type TEXT, thread_id TEXT, content TEXT NOT NULL
    );
    CREATE TABLE delivered (message_out_id TEXT PRIMARY KEY, delivered_at TEXT NOT NULL);
    CREATE TABLE destinations (
      name TEXT PRIMARY KEY, display_name TEXT, type TEXT NOT NULL, channel_type TEXT, platform_id TEXT,
      agent_group_id TEXT
    );
    CREATE TABLE session_routing (
      id INTEGER PRIMARY KEY CHECK (id = 1), channel_type TEXT, platform_id TEXT, thread_id TEXT
    );
"""


@pytest.fixture
def world(world: World) -> World:
    """Replace inbound.db by one of another build."""
    world.config.inbound_db.unlink()
    world.host(SEED)
    world.host("INSERT INTO session_routing VALUES (1, ?, ?, ?)", *OWN_CHAT)
    return world


async def test_a_file_of_another_hosts_build_is_served(world: World) -> None:
    first = world.put(2, "hello")
    async with world.running(Listener()):
        await world.until_acked(first)
        await world.until_acked(world.put(4, "and again"))
    assert world.texts() == ["echo: hello", "echo: and again"]


async def test_its_tasks_can_be_listed(world: World) -> None:
    task = json.dumps({"prompt": "water the plants"})
    world.put(2, kind="task", content=task, process_after=at(9_000_000), recurrence="@daily")
    asked = world.put(4, "!list_tasks {}")
    async with world.running(Listener()):
        await world.until_acked(asked)
    assert "water the plants" in world.texts()[-1]


async def test_its_answer_to_a_question_is_found_whatever_its_id(world: World) -> None:
    message = world.put(2, CALL)
    async with world.running(Listener()):
        await world.until(lambda: cards(world))
        ((card, _, _),) = cards(world)
        world.host("INSERT INTO delivered VALUES (?, ?)", card, at(0))
        for seq, question in ((4, "another"), (6, card)):
            choice = {
                "type": "question_response",
                "questionId": question,
                "selectedOption": f"Yes to {question}",
            }
            world.put(seq, kind="system", content=json.dumps(choice))
        await world.until_acked(message, "in-6")
    assert f"Yes to {card}" in world.texts()


async def test_a_host_that_completes_its_file_meanwhile_is_understood(world: World) -> None:
    async with world.running(Listener()):
        await world.until_acked(world.put(2, "before"))
        world.host("ALTER TABLE messages_in ADD COLUMN trigger INTEGER NOT NULL DEFAULT 1")
        world.put(4, "context", trigger=0)
        await world.until_acked(world.put(6, "after"))
    assert world.texts() == ["echo: before", "echo: after"]


async def test_a_file_without_messages_in_is_still_an_error(world: World) -> None:
    world.host("DROP TABLE messages_in")
    with pytest.raises(DatabaseError, match="no such table: messages_in"):
        await run_runner(world.config, world.seams(Echo()))


def test_a_complete_file_gets_no_views(world: World) -> None:
    World.create(world.root / "ours")
    with closing(apsw.Connection(str(world.root / "ours" / "inbound" / "inbound.db"))) as connection:
        show_complete(connection)
        assert connection.execute("SELECT count(*) FROM temp.sqlite_schema").get == 0
