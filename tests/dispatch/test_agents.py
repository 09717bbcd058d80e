"""Messages from agent to agent, in virtual time: a real host, the real runner, and scripted providers."""

from pathlib import Path

import pytest
import trio
from attrs import evolve
from trio.testing import MockClock

from agent_runner.errors import ProviderError
from agent_runner.providers import Toolbox
from agent_runner.records import Reply, Result, Turn
from nanoclaw.recording import Record
from nanoclaw.session import transactions
from nanoclaw.store import Connection
from nanoclaw.store.session import projections
from nanoclaw.store.session.projections import CentralView
from nanoclaw.testing import World, fails, says, script, thinks
from nanoclaw.testing.invariants import Evidence, rows, violations
from nanoclaw.testing.replay import replay
from nanoclaw.testing.world.executor import When
from tests.dispatch.pairs import a_pair, received, said, tell
from tests.kills import kill_at


async def silent(_turn: Turn, _tools: Toolbox) -> None:
    """Read messages without an answer."""
    await trio.lowlevel.checkpoint()


async def forwards(turn: Turn, tools: Toolbox) -> str | None:
    """Forward users' messages to the helper, and ignore its answers."""
    already = [sent.content.get("markdown") for sent in turn.already_sent]
    for message in turn.messages:
        of_user = not str(message.content.get("senderId")).startswith("agent:")
        if of_user and message.content["text"] not in already:
            await tools.call("send_message", {"text": message.content["text"], "to": "helper"})
    return None


async def agrees(turn: Turn, _tools: Toolbox) -> Result:
    """Answer each message of any sender."""
    await trio.lowlevel.checkpoint()
    return Result(tuple(Reply(f"{each.content.get('text')}!", each.id) for each in turn.messages))


# -- there and back -----------------------------------------------------------


async def test_an_agent_asks_another_one_and_its_answer_comes_back(world: World) -> None:
    pair = await a_pair(world, forwards, script(says("pong")))
    await pair.ann.says("ping")
    await world.sleep(5)
    [asked], [answered] = pair.received(pair.helper), pair.received(pair.main)
    sender = {"text": "ping", "sender": "main", "senderId": f"agent:{pair.main.id}"}
    assert sender.items() <= asked.content.items()
    assert (asked.kind, asked.status, asked.hops) == ("chat", "completed", 1)
    assert asked.source == pair.session_id(pair.main)
    assert (answered.content["text"], answered.content["sender"]) == ("pong", "Helper")
    assert (answered.hops, answered.source) == (2, pair.session_id(pair.helper))
    assert asked.cause == answered.cause
    assert str(asked.cause).startswith("in-"), "what Ann said began it"


async def test_echo_sends_to_an_agent_by_its_name(world: World) -> None:
    pair = await a_pair(world, helper=silent)
    await pair.ann.says(tell("hi"))
    await pair.chat.expect("sent as message 3")
    await world.sleep(5)
    assert said(pair.received(pair.helper)) == ["hi"]


async def test_an_answer_goes_to_the_session_that_asked(world: World) -> None:
    """The helper has no destination, and the agent has two chats."""
    pair = await a_pair(world, forwards, agrees)
    ben = world.user("ben")
    await world.direct(ben)
    await pair.ann.says("from ann")
    await ben.says("from ben")
    await world.sleep(10)
    answers = [said(received(paths.inbound_db)) for paths in pair.sessions(pair.main)]
    assert sorted(answers) == [["from ann!"], ["from ben!"]]


async def test_files_go_along(world: World) -> None:
    pair = await a_pair(world, helper=silent)
    workspace = world.home / "groups/main/workspace"
    workspace.mkdir(parents=True, exist_ok=True)
    (workspace / "notes.txt").write_text("tea")
    await pair.ann.says('!send_file {"path": "notes.txt", "to": "helper"}')
    await world.sleep(5)
    [message] = pair.received(pair.helper)
    [attached] = message.content["attachments"]
    [paths] = pair.sessions(pair.helper)
    assert (paths.inbound_dir / str(attached["localPath"]).removeprefix("in/")).read_text() == "tea"


async def test_a_repeated_attempt_is_stored_once(world: World) -> None:
    """The host is killed at every commit of the exchange in turn."""
    commits = await _exchange(world, None)
    assert commits > 10
    for when in ("before", "after"):
        for nth in range(1, commits + 1):
            async with World() as other:
                await _exchange(other, (when, nth))


async def _exchange(world: World, kill: tuple[When, int] | None) -> int:
    """Kill the host at a commit of a question and its answer. Return the number of commits."""
    pair = await a_pair(world, forwards, script(says("pong")))
    begun = kill_at(world, kill)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pair.ann.says, "ping")
        await world.sleep(20)
        commits = world.executor.commits - begun
        if not world.host_lives:
            await world.start()
    await world.sleep(minutes=5)
    assert said(pair.received(pair.helper)) == ["ping"], kill
    assert said(pair.received(pair.main)) == ["pong"], kill
    return commits


# -- where it goes ------------------------------------------------------------


async def test_the_host_checks_each_row_independent_of_the_projection(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runner's `helper` is an agent that the central database has no destination for."""

    def misled(connection: Connection, view: CentralView, *_: object) -> None:
        changed = [evolve(each, agent_group_id=pair.helper.id) for each in view.destinations]
        projections.write_destinations(connection, changed)

    pair = await a_pair(world, forwards, silent)
    await world.host.admin.destinations.delete(pair.main.id, "helper")
    await world.host.admin.destinations.create(pair.main.id, "agent", pair.main.id, local_name="helper")
    monkeypatch.setattr(transactions, "project_changes", misled)
    await pair.ann.says("ping")
    await world.sleep(5)
    [told] = pair.told(pair.main)
    assert (told.content["status"], told.trigger) == ("failed", 0)
    assert told.content["reason"] == f"agent:{pair.helper.id} is not a destination of this agent"
    assert pair.sessions(pair.helper) == []


async def test_an_agent_that_is_deleted_takes_nothing(world: World) -> None:
    """The agent has asked, and its session is archived before the answer comes."""
    pair = await a_pair(world, forwards, script([thinks(30), says("pong")]))
    await pair.ann.says("ping")
    await world.sleep(5)
    admin = world.host.admin
    asked = pair.session_id(pair.main)
    await admin.sessions.archive(asked)
    await admin.sessions.delete(asked)
    await world.sleep(60)
    [told] = pair.told(pair.helper)
    assert told.content["reason"] == "the conversation that asked is over"


async def test_an_answer_to_a_conversation_that_is_over_goes_nowhere_else(world: World) -> None:
    pair = await a_pair(world, forwards, script([thinks(30), says("pong")]))
    await pair.ann.says("ping")
    await world.sleep(5)
    await world.host.admin.sessions.archive(pair.session_id(pair.main))
    await pair.ann.says("again")
    await world.sleep(60)
    [told] = [each for each in pair.told(pair.helper) if each.content["status"] == "failed"]
    assert told.content["reason"] == "the conversation that asked is over"
    answers = [said(received(paths.inbound_db)) for paths in pair.sessions(pair.main)]
    assert ["pong"] not in answers


async def test_a_session_that_is_archived_is_followed_by_a_new_one(world: World) -> None:
    pair = await a_pair(world, forwards, silent)
    await pair.ann.says("one")
    await world.sleep(5)
    await world.host.admin.sessions.archive(pair.session_id(pair.helper))
    await pair.ann.says("two")
    await world.sleep(5)
    assert sorted(said(received(paths.inbound_db)) for paths in pair.sessions(pair.helper)) == [
        ["one"],
        ["two"],
    ]


async def test_a_paused_session_stores_messages_and_handles_them_later(world: World) -> None:
    heard = list[str]()

    async def listens(turn: Turn, _tools: Toolbox) -> None:
        await trio.lowlevel.checkpoint()
        heard.extend(str(each.content["text"]) for each in turn.messages)

    pair = await a_pair(world, forwards, listens)
    await pair.ann.says("one")
    await world.sleep(5)
    helper = pair.session_id(pair.helper)
    await world.host.admin.sessions.pause(helper)
    await pair.ann.says("two")
    await world.sleep(60)
    assert (said(pair.received(pair.helper)), heard) == (["one", "two"], ["one"])
    await world.host.admin.sessions.resume(helper)
    await world.sleep(5)
    assert heard == ["one", "two"]


async def test_a_message_waits_with_its_sender_while_the_other_session_is_buried(world: World) -> None:
    pair = await a_pair(world, forwards, silent)
    await pair.ann.says("one")
    await world.sleep(5)
    file = pair.inbound(pair.helper)
    kept = file.read_bytes()
    await world.stop()
    file.write_bytes(b"no database" * 100)
    await world.start()
    await pair.ann.says("two")
    await world.sleep(minutes=5)
    assert pair.told(pair.main) == []
    file.write_bytes(kept)
    await world.sleep(minutes=15)
    assert said(pair.received(pair.helper)) == ["one", "two"]


async def test_a_message_to_oneself_goes_to_the_session_over_all_chats(world: World) -> None:
    pair = await a_pair(world, forwards, silent)
    await world.host.admin.destinations.delete(pair.main.id, "helper")
    await world.host.admin.destinations.create(pair.main.id, "agent", pair.main.id, local_name="helper")
    await pair.ann.says("note")
    await world.sleep(5)
    notes = [said(received(paths.inbound_db)) for paths in pair.sessions(pair.main)]
    assert sorted(notes) == [[], ["note"]]


async def test_an_agent_that_cannot_answer_says_so_to_the_one_that_asked(world: World) -> None:
    pair = await a_pair(world, forwards, script(*[fails("no model")] * 9))
    await pair.ann.says("ping")
    await world.sleep(minutes=30)
    [asked], [answered] = pair.received(pair.helper), pair.received(pair.main)
    assert answered.content["text"] == "I could not answer your message after 5 tries: no model"
    assert (answered.hops, answered.cause) == (2, asked.cause)


async def test_a_home_where_agents_talk_keeps_all_invariants(world: World) -> None:
    pair = await a_pair(world)
    await pair.ann.says(tell("hi"))
    await world.sleep(minutes=10)
    await world.stop()
    assert list(violations(Evidence(world.home / "data"))) == []


# -- recordings -----------------------------------------------------------------


async def _recorded(folder: Path) -> None:
    async with World(folder=folder / "home") as world:
        await world.start(record=Record(folder / "tape"))
        pair = await a_pair(world)
        await pair.ann.says(tell("hi"))
        await world.sleep(60)
        assert len(pair.received(pair.helper)) > 1


async def test_a_turn_that_is_repeated_keeps_what_it_sent_to_the_agent_that_asked(world: World) -> None:
    """Both turns name the message of that agent, so both rows go to the session that asked."""

    async def struggles(turn: Turn, tools: Toolbox) -> str:
        if not turn.already_sent:
            await tools.call("send_message", {"text": "on it"})
            raise ProviderError("the model is busy")
        return "pong"

    pair = await a_pair(world, forwards, struggles)
    await pair.ann.says("ping")
    await world.sleep(minutes=2)
    assert said(pair.received(pair.main)) == ["on it", "pong"]
    [paths] = pair.sessions(pair.helper)
    answers = rows(paths.outbound_db, "SELECT in_reply_to, turn_id FROM messages_out")
    assert [len(set(column)) for column in zip(*answers, strict=True)] == [1, 2], "one message, two turns"
    assert violations(Evidence(world.home / "data")) == []


def test_an_exchange_is_replayed_as_it_was(tmp_path: Path) -> None:
    trio.run(_recorded, tmp_path, clock=MockClock(autojump_threshold=0))
    replayed = replay(tmp_path / "tape")
    assert list(replayed.differences) == []
