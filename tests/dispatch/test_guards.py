"""Endless conversations between agents: the host cuts them, and tells both agents."""

from datetime import UTC, datetime, timedelta

import apsw
import pytest
import trio

from agent_runner.providers import Toolbox
from agent_runner.records import Turn
from nanoclaw.config.tables import AgentsConfig
from nanoclaw.records import AgentMessage
from nanoclaw.session import agents
from nanoclaw.store.session import agent_messages, deliveries, messages_in
from nanoclaw.store.session.agent_messages import Chain
from nanoclaw.store.session.messages_in import NewMessage, Source
from nanoclaw.system.resources import schema_dir
from nanoclaw.testing import World
from tests.dispatch.pairs import Pair, a_pair, said, tell

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LIMITS = AgentsConfig()
MAX_HOPS, MAX_A_MINUTE = LIMITS.max_hops, LIMITS.max_a_minute


# -- hops ----------------------------------------------------------------------


async def test_two_agents_that_answer_each_other_for_ever_are_cut_after_ten_hops(world: World) -> None:
    pair = await a_pair(world)
    await pair.ann.says(tell("hi"))
    await world.sleep(minutes=10)
    hops = [each.hops for each in (*pair.received(pair.helper), *pair.received(pair.main))]
    assert sorted(filter(None, hops)) == list(range(1, MAX_HOPS + 1))
    assert {each.cause for each in pair.received(pair.helper)} == {
        each.cause for each in pair.received(pair.main)
    }
    reason = "the chain of messages has more than 10 hops between agents"
    [cut] = pair.told(pair.helper)
    assert cut.content == {"type": "agent_message", "status": "cut", "from": "main", "reason": reason}
    [failed] = pair.told(pair.main)
    assert (failed.content["type"], failed.content["status"]) == ("delivery", "failed")
    assert failed.content["reason"] == reason
    assert (cut.trigger, failed.trigger) == (0, 0)


async def test_the_next_word_of_a_user_begins_anew(world: World) -> None:
    pair = await a_pair(world)
    for text in ("one", "two"):
        await pair.ann.says(tell(text))
        await world.sleep(minutes=10)
    assert len(pair.received(pair.helper)) == MAX_HOPS
    assert len({each.cause for each in pair.received(pair.helper)}) == 2


# -- how many in a minute -------------------------------------------------------


async def talks(turn: Turn, tools: Toolbox) -> None:
    """Send the helper as many messages as a user asks for."""
    for n in range(int(str(turn.messages[0].content["text"]))):
        await tools.call("send_message", {"text": f"{n}", "to": "helper"})


async def silent(_turn: Turn, _tools: Toolbox) -> None:
    await trio.lowlevel.checkpoint()


async def test_more_than_twenty_messages_a_minute_are_cut(world: World) -> None:
    pair = await a_pair(world, talks, silent)
    await pair.ann.says("25")
    await world.sleep(10)
    assert said(pair.received(pair.helper)) == [str(n) for n in range(MAX_A_MINUTE)]
    assert len(pair.told(pair.main)) == 5
    [cut] = pair.told(pair.helper)
    assert cut.content["reason"] == "the two sessions have exchanged 20 messages within a minute"


async def test_a_restart_forgets_nothing_of_it_and_a_minute_does(world: World) -> None:
    pair = await a_pair(world, talks, silent)
    await pair.ann.says("20")
    await world.sleep(10)
    await world.restart()
    await pair.ann.says("1")
    await world.sleep(10)
    assert len(pair.received(pair.helper)) == MAX_A_MINUTE
    await world.sleep(60)
    await pair.ann.says("1")
    await world.sleep(10)
    assert len(pair.received(pair.helper)) == MAX_A_MINUTE + 1


async def test_both_directions_count(world: World) -> None:
    async def agrees(turn: Turn, tools: Toolbox) -> None:
        for each in turn.messages:
            await tools.call("send_message", {"text": f"{each.content['text']}!"})

    async def asks(turn: Turn, tools: Toolbox) -> None:
        text = str(turn.messages[0].content["text"])
        for n in range(int(text) if text.isdigit() else 0):
            await tools.call("send_message", {"text": f"{n}", "to": "helper"})

    pair = await a_pair(world, asks, agrees)
    await pair.ann.says("15")
    await world.sleep(10)
    assert _exchanged(pair) == MAX_A_MINUTE


def _exchanged(pair: Pair) -> int:
    return len(pair.received(pair.helper)) + len(pair.received(pair.main))


# -- a runner that lies ----------------------------------------------------------


@pytest.fixture
def inbound() -> apsw.Connection:
    connection = apsw.Connection(":memory:")
    for file in sorted((schema_dir() / "inbound").glob("*.sql")):
        connection.execute(file.read_text()).fetchall()
    return connection


def hears(connection: apsw.Connection, id_: str, hops: int | None, *, done: bool = False) -> None:
    source = Source("sess-other", "in-first", hops) if hops is not None else None
    messages_in.insert(connection, NewMessage(id_, "chat", NOW, None, "{}", source=source))
    if done:
        messages_in.settle(connection, id_, "completed")


def chain_of(connection: apsw.Connection, answers: str | None, *at_work: str) -> Chain:
    """Return the chain of a new row that claims to answer a message."""
    deliveries.record(connection, [("out-1", 1)])
    agent_messages.record_chains(connection, [("out-1", answers)], at_work)
    return agent_messages.letter(connection, "out-1", answers).chain


def test_a_row_has_one_hop_more_than_the_message_it_answers(inbound: apsw.Connection) -> None:
    hears(inbound, "agent-1", 3)
    assert chain_of(inbound, "agent-1", "agent-1") == Chain("in-first", 4)


def test_a_row_that_answers_a_user_begins_a_chain(inbound: apsw.Connection) -> None:
    hears(inbound, "in-1", None)
    hears(inbound, "in-2", None)
    assert chain_of(inbound, None, "in-2") == Chain("in-2", 1)


@pytest.mark.parametrize("answers", [None, "in-1", "in-made-up"])
def test_a_runner_cannot_shorten_a_chain(inbound: apsw.Connection, answers: str | None) -> None:
    hears(inbound, "in-1", None)
    hears(inbound, "agent-1", MAX_HOPS)
    assert chain_of(inbound, answers, "in-1") == Chain("in-first", MAX_HOPS + 1)


def test_a_row_after_its_turn_continues_the_last_chain(inbound: apsw.Connection) -> None:
    hears(inbound, "in-1", None, done=True)
    hears(inbound, "agent-1", MAX_HOPS, done=True)
    assert chain_of(inbound, None) == Chain("in-first", MAX_HOPS + 1)


def test_a_row_that_answers_nothing_at_all_begins_a_chain(inbound: apsw.Connection) -> None:
    assert chain_of(inbound, None) == Chain("out-1", 1)


def test_a_recurring_delivery_continues_its_chain(inbound: apsw.Connection) -> None:
    hears(inbound, "agent-1", 3)
    chain_of(inbound, "agent-1")
    deliveries.record(inbound, [("out-1@later", 1)])
    agent_messages.follow_chain(inbound, "out-1", "out-1@later")
    assert agent_messages.letter(inbound, "out-1@later", None).chain == Chain("in-first", 4)


# -- the transaction that takes a message ------------------------------------------


def offered(n: int, *, hops: int = 1, exchanged: int = 0) -> AgentMessage:
    return AgentMessage(f"out-{n}", "sess-a", "ag-a", "A", f"{n}", f"in-{n}", hops, exchanged)


def test_a_message_that_is_offered_twice_is_stored_once(inbound: apsw.Connection) -> None:
    assert agents.take(inbound, offered(1), (), NOW, LIMITS).opened
    again = agents.take(inbound, offered(1), (), NOW, LIMITS)
    assert (again.opened, again.cut) == (None, None)


def test_messages_to_the_sender_count_too(inbound: apsw.Connection) -> None:
    assert agents.take(inbound, offered(1, exchanged=MAX_A_MINUTE - 1), (), NOW, LIMITS).cut is None
    assert agents.take(inbound, offered(2, exchanged=MAX_A_MINUTE - 1), (), NOW, LIMITS).cut
    later = NOW + timedelta(seconds=61)
    assert agents.take(inbound, offered(3, exchanged=MAX_A_MINUTE - 1), (), later, LIMITS).cut is None


def test_a_cut_is_reported_once_per_chain(inbound: apsw.Connection) -> None:
    first = agents.take(inbound, offered(1, hops=MAX_HOPS + 1), (), NOW, LIMITS)
    again = agents.take(inbound, offered(1, hops=MAX_HOPS + 1), (), NOW, LIMITS)
    assert first.opened
    assert (again.opened, again.cut) == (None, first.cut)
