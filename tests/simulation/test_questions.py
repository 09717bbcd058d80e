"""Questions with buttons, from the agent's tool to a user's click and back, also through deaths."""

import json
import re
from pathlib import Path

import pytest
import trio
from attrs import evolve
from trio.testing import MockClock

from agent_runner.errors import ToolError
from agent_runner.providers import Toolbox
from agent_runner.records import Result, Turn
from nanoclaw.recording import Record
from nanoclaw.records import Address, Clicked, QuestionContent
from nanoclaw.testing import FakeChannel, World, simulate
from nanoclaw.testing.replay import replay
from nanoclaw.testing.world.executor import When
from tests.host.homes import only_session, rows, supervisor

QUESTION = {"title": "Deploy", "question": "Ship it?", "options": ["Approve", "Reject"]}


async def asks(turn: Turn, tools: Toolbox) -> str:
    """Ask; repeat answers that arrive after the wait has ended."""
    answer = turn.messages[0].content.get("selectedOption")
    if answer is not None:
        return f"so late: {answer}"
    try:
        chosen = await tools.call("ask_user_question", QUESTION)
    except ToolError as error:
        return str(error)
    return "I go on" if chosen.startswith("no answer yet") else f"you chose {chosen}"


async def test_a_click_answers_the_agent_s_question(world: World) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann, world.agent(brain=asks))
    await ann.says("deploy")
    card = await chat.expect("Ship it?", kind="card")
    assert str(card).endswith("agent (card): Deploy: Ship it? [Approve] [Reject]")
    await ann.clicks("Reject")
    await chat.expect("you chose Reject")


async def test_of_two_clicks_the_first_counts(world: World) -> None:
    ann, ben = world.user("ann"), world.user("ben")
    chat = world.group("team", [ann, ben])
    await world.wire(chat, world.agent(brain=asks))
    await ann.says("deploy", in_=chat)
    card = await chat.expect(kind="card")
    first = await ann.clicks("Approve", in_=chat)
    second = await ben.clicks("Reject", in_=chat, card=card)
    assert len(first.session_ids) == 1
    assert second.dropped == "the question was answered already by ann: Approve"
    await chat.expect("you chose Approve")
    assert await world.host.admin.questions.list() == []
    await world.stop()
    [(answer,)] = rows(
        only_session(world.home).inbound_db, "SELECT content FROM messages_in WHERE kind = 'system'"
    )
    [question] = [one.content for one in world.channel.sent if isinstance(one.content, QuestionContent)]
    assert json.loads(answer) == {
        "type": "question_response",
        "questionId": question.question_id,
        "selectedOption": "Approve",
        "userId": "fake:ann",
    }


async def test_an_answer_that_comes_too_late_wakes_the_agent(world: World) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann, world.agent(brain=asks), session_mode="agent-shared")
    await ann.says("deploy")
    await chat.expect("I go on", within=70)
    await world.sleep(days=1)
    await ann.clicks("Approve")
    await chat.expect("so late: Approve")


async def test_an_open_question_blocks_neither_reminders_nor_messages(world: World) -> None:
    async def brain(turn: Turn, tools: Toolbox) -> str:
        words = [
            str(each.content.get("text") or each.content.get("prompt") or each.content.get("selectedOption"))
            for each in turn.messages
        ]
        if words == ["deploy"]:
            await tools.call("schedule_task", {"prompt": "tea", "process_after": "10s"})
            return await asks(turn, tools)
        return f"heard {' and '.join(sorted(words))}"

    ann = world.user("ann")
    chat = await world.direct(ann, world.agent(brain=brain))
    await ann.says("deploy")
    await chat.expect(kind="card")
    await chat.expect("I go on", within=70)
    await chat.expect("heard tea", within=5)
    await world.sleep(hours=23)
    await ann.clicks("Approve")
    await chat.expect("heard Approve", within=5)


async def test_words_instead_of_a_click_are_heard_at_once(world: World) -> None:
    async def brain(turn: Turn, tools: Toolbox) -> str:
        text = turn.messages[0].content.get("text")
        return await asks(turn, tools) if text in {"deploy", None} else f"heard {text}"

    ann = world.user("ann")
    chat = await world.direct(ann, world.agent(brain=brain))
    await ann.says("deploy")
    await chat.expect(kind="card")
    await ann.says("neither")
    await chat.expect("I go on", within=5)
    await chat.expect("heard neither", within=5)
    await ann.clicks("Approve")
    await chat.expect("so late: Approve")


# -- clicks that are ignored ---------------------------------------------


async def asked(world: World, **wiring: str) -> Clicked:
    """Ask a question in ann's chat; return a valid click on it."""
    ann = world.user("ann")
    chat = await world.direct(ann, world.agent(brain=asks), **wiring)
    await world.admit(ann)
    await ann.says("deploy")
    await chat.expect(kind="card")
    [question] = await world.host.admin.questions.list()
    return Clicked(chat.address, "click-1", question.question_id, "Approve", ann.id)


def made_up(click: Clicked) -> dict[str, Clicked]:
    return {
        "the question is not open": evolve(click, question_id="other'; DROP TABLE users"),
        "no such answer": evolve(click, value="Appro\ud800ve"),
        "another chat": evolve(click, address=Address(click.address.channel_type, "elsewhere")),
        "not known": evolve(click, user_id="fake:eve"),
    }


@pytest.mark.parametrize("word", ["the question is not open", "no such answer", "another chat", "not known"])
async def test_a_forged_click_is_dropped_and_the_question_stays_open(world: World, word: str) -> None:
    click = await asked(world, policy="strict")
    routed = await world.channel.offer(made_up(click)[word])
    assert routed.dropped is not None
    assert word in routed.dropped
    assert (await world.channel.offer(click)).dropped is None


async def test_a_user_without_access_cannot_answer_a_question(world: World) -> None:
    click = await asked(world)
    [wiring] = await world.host.admin.wirings.list()
    await world.host.admin.wirings.update(wiring.id, trigger_rules={"excludeSenders": ["fake:ann"]})
    routed = await world.channel.offer(click)
    assert routed.dropped == "the agent does not listen to the user"


async def test_a_question_cannot_be_answered_after_its_conversation_has_ended(world: World) -> None:
    click = await asked(world)
    [session] = await world.host.admin.sessions.list()
    await world.host.admin.sessions.archive(session.id)
    assert (await world.channel.offer(click)).dropped == "the conversation that asked is over"


# -- deaths --------------------------------------------------------------------


async def test_an_answer_to_a_session_that_is_down_is_parked_and_a_second_answer_is_dropped(
    world: World,
) -> None:
    click = await asked(world)
    sessions = supervisor(world.host, "sessions")
    [node] = world.host.sessions.nodes()
    for _ in range(4):
        ref = sessions.get(node.name)
        assert ref is not None
        await ref.wait_started()
        sessions.kill(node.name)
        await trio.testing.wait_all_tasks_blocked()
    first = await world.channel.offer(click)
    assert first.session_ids == (node.name,)
    assert len(await world.host.admin.parked.list()) == 1
    assert (await world.channel.offer(click)).dropped is not None
    [chat] = world.chats.values()
    await chat.expect("you chose Approve")


class DiesAt:
    """Kills the host at one commit after the first card, counted from it."""

    def __init__(self, world: World, n: int, when: When) -> None:
        self.world, self.n, self.when = world, n, when
        self.hit = False

    def __call__(self, path: Path, when: When, n: int) -> None:
        del n
        shown = [one for one in self.world.channel.attempts if isinstance(one.content, QuestionContent)]
        if self.hit or not shown or when != self.when or "outbound" in str(path):
            return
        self.n -= 1
        if self.n < 0:
            self.hit = True
            self.world.kill_host_now()


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("n", range(6))
async def test_a_host_killed_at_a_commit_neither_loses_nor_duplicates_an_answer(
    n: int, when: When, autojump_clock: MockClock
) -> None:
    del autojump_clock
    async with World(channel=FakeChannel(repeat="idempotent")) as world:
        ann = world.user("ann")
        chat = await world.direct(ann, world.agent(brain=asks))
        dies = DiesAt(world, n, when)
        world.commit_hooks.append(dies)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lives_again, world)
            await ann.says("deploy", within=3600)
            card = await chat.expect(kind="card")
            await ann.clicks("Approve", within=3600)
            await ann.clicks("Reject", card=card, within=3600)
            await chat.expect("you chose Approve", within=3600)
            await world.sleep(hours=1)
            nursery.cancel_scope.cancel()
        assert dies.hit
        assert await world.host.admin.questions.list() == []
        await world.stop()
        found = rows(
            only_session(world.home).inbound_db, "SELECT id FROM messages_in WHERE id LIKE 'answer-%'"
        )
        assert len(found) == 1
        kinds = [one.kind for one in chat.transcript if one.from_agent]
        assert sorted(kinds) == ["card", "edit", "message"]


async def lives_again(world: World) -> None:
    while True:
        await world.ended()
        await world.sleep(1)
        await world.start()


async def test_a_runner_that_dies_while_waiting_for_an_answer_does_not_ask_again(world: World) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann, world.agent(brain=asks))
    await ann.says("deploy")
    await chat.expect(kind="card")
    world.kill_runner()
    await world.sleep(minutes=1)
    await ann.clicks("Approve")
    await chat.expect("you chose Approve")
    assert [entry.kind for entry in chat.transcript] == ["message", "card", "click", "edit", "message"]


async def test_an_answer_that_arrives_while_the_runner_is_dead_still_reaches_the_tool(world: World) -> None:
    ann = world.user("ann")

    async def brain(turn: Turn, tools: Toolbox) -> str | Result:
        return Result() if "questionId" in turn.messages[0].content else await asks(turn, tools)

    chat = await world.direct(ann, world.agent(brain=brain))
    await ann.says("deploy")
    await chat.expect(kind="card")
    world.kill_runner()
    await ann.clicks("Approve")
    await chat.expect("you chose Approve")


# -- how a question is asked ---------------------------------------------------


async def test_a_question_is_recorded_before_it_is_shown(world: World) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann, world.agent(brain=asks))
    world.channel.fail("hang")
    await ann.says("deploy")
    await world.channel.wait_attempts(1)
    [question] = await world.host.admin.questions.list()
    assert (question.channel_type, question.platform_id) == ("fake", "ann")
    world.channel.heal()
    await chat.expect(kind="card")


async def test_a_question_refused_by_the_network_does_not_wait_for_an_answer(world: World) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann, world.agent(brain=asks))
    world.channel.fail("rejected")
    await ann.says("deploy")
    await chat.expect("the question could not be delivered, so no user has seen it")
    assert await world.host.admin.questions.list() == []


# -- channels without buttons --------------------------------------------------


@pytest.mark.world(channel=FakeChannel(buttons=False))
async def test_without_buttons_a_message_that_names_an_option_is_the_answer(world: World) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann, world.agent(brain=asks))
    await ann.says("deploy")
    await chat.expect("Deploy\nShip it?\n1. Approve\n2. Reject\nAnswer with a number.")
    await ann.says(" 2 ")
    await chat.expect("you chose Reject")
    await world.sleep(minutes=1)
    assert world.channel.settled == {"event-1": "completed", "event-2": "completed"}


# -- recordings ----------------------------------------------------------------


@pytest.mark.parametrize(("buttons", "redacted"), [(True, False), (True, True), (False, False)])
def test_a_question_and_its_answer_are_replayed(tmp_path: Path, *, buttons: bool, redacted: bool) -> None:
    async def day(world: World) -> None:
        await world.start(record=Record(tmp_path / "recording", redacted))
        ann = world.user("ann")
        chat = await world.direct(ann, world.agent(brain=asks))
        await ann.says("deploy")
        await chat.expect(re.compile("Ship it"), kind="card" if buttons else "message")
        await (ann.clicks("Approve") if buttons else ann.says("1"))
        await chat.expect("you chose Approve")
        await world.sleep(minutes=1)
        await world.stop()

    simulate(day, seed=1, channel=FakeChannel(buttons=buttons))
    assert list(replay(tmp_path / "recording").differences) == []
    written = b"".join(file.read_bytes() for file in (tmp_path / "recording").rglob("*") if file.is_file())
    assert (b"Ship it?" in written) is not redacted
