"""Questions for some people only, with several choices, with answers in words, and with an end."""

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest
import trio
from attrs import evolve
from trio.testing import MockClock

from agent_runner.errors import ToolError
from agent_runner.providers import Toolbox
from agent_runner.records import Turn
from nanoclaw.records import ChatMessage, Clicked, InboundEvent
from nanoclaw.testing import FakeChannel, World
from nanoclaw.testing.world.chats import Chat, User
from nanoclaw.testing.world.executor import When
from nanoclaw.testing.world.scripted_provider import Brain
from nanoclaw.testing.world.transcript import Entry
from tests.host.homes import only_session, rows

TOPPINGS = ["cheese", "ham", "basil"]


def asking(**arguments: object) -> Brain:
    """Return an agent that asks this when somebody says "ask", and repeats every answer."""
    card = {"title": "Pizza", "question": "What on it?", "options": TOPPINGS, **arguments}

    async def brain(turn: Turn, tools: Toolbox) -> str:
        content = turn.messages[0].content
        if content.get("text") != "ask":
            return f"heard {_told(content)}"
        try:
            return f"got {await tools.call('ask_user_question', card)}"
        except ToolError as error:
            return f"refused: {error}"

    return brain


def _told(content: Mapping[str, object]) -> object:
    keys = ("selectedOptions", "selectedOption", "expired", "withdrawn", "text")
    return next(content[key] for key in keys if key in content)


async def asked(world: World, **arguments: object) -> tuple[User, User, Chat]:
    """Have ann cause a question in a group with ben; return both and the group, once the card is there."""
    ann, ben = world.user("ann"), world.user("ben")
    chat = world.group("team", [ann, ben])
    await world.wire(chat, world.agent(brain=asking(**arguments)))
    await ann.says("ask", in_=chat)
    await chat.expect(kind="card" if world.channel.buttons else "message")
    return ann, ben, chat


def answers(world: World) -> list[Mapping[str, object]]:
    query = "SELECT content FROM messages_in WHERE id LIKE 'answer-%'"
    return [json.loads(content) for (content,) in rows(only_session(world.home).inbound_db, query)]


# -- who may answer -----------------------------------------------------------------------


async def test_only_the_asker_answers_a_question_for_the_asker(world: World) -> None:
    ann, ben, chat = await asked(world, who="asker")
    assert (await ben.clicks("ham", in_=chat)).dropped == "only ann may answer the question"
    assert (await ann.clicks("basil", in_=chat)).dropped is None
    await chat.expect("got basil")


async def test_the_asker_is_who_wrote_the_newest_message_of_the_turn_in_that_chat(world: World) -> None:
    ann, ben = world.user("ann"), world.user("ben")
    chat = world.group("team", [ann, ben])
    await world.wire(chat, world.agent(brain=asking(who="asker")))
    async with trio.open_nursery() as nursery:  # one turn takes both
        nursery.start_soon(lambda: ann.says("ask", in_=chat))
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(lambda: ben.says("yes, do", in_=chat))
    await chat.expect(kind="card")
    [question] = await world.host.admin.questions.list()
    assert (question.who, question.asker) == ("asker", ben.id)


async def test_a_task_has_no_asker(world: World) -> None:
    async def brain(turn: Turn, tools: Toolbox) -> str:
        if turn.messages[0].kind == "chat":
            return await tools.call("schedule_task", {"prompt": "ask", "process_after": "10s"})
        card = {"title": "T", "question": "Q", "options": ["a"], "who": "asker"}
        try:
            return await tools.call("ask_user_question", card)
        except ToolError as error:
            return str(error)

    ann = world.user("ann")
    chat = await world.direct(ann, world.agent(brain=brain))
    await ann.says("go")
    await chat.expect("no user of that chat has written in this turn: who must be member or admin", within=60)


async def test_only_an_administrator_answers_a_question_for_admins(world: World) -> None:
    ann, ben, chat = await asked(world, who="admin")
    refused = await ann.clicks("ham", in_=chat)
    assert refused.dropped == "only an administrator of the agent may answer the question"
    await world.grant(ben, "admin", "main")
    await ben.clicks("ham", in_=chat)
    await chat.expect("got ham")


@pytest.mark.world(channel=FakeChannel(buttons=False))
async def test_without_buttons_words_of_others_are_ordinary_messages(world: World) -> None:
    ann, ben, chat = await asked(world, who="asker")
    routed = await ben.says("2", in_=chat)
    assert routed.message_ids[0].startswith("in-")
    await ann.says("2", in_=chat)
    await world.sleep(minutes=2)
    assert [each["selectedOption"] for each in answers(world)] == ["ham"]


# -- several choices ----------------------------------------------------------------------


async def test_buttons_choose_several_options_and_the_card_shows_them(world: World) -> None:
    ann, _ben, chat = await asked(world, multiple=True)
    [card] = [each for each in chat.transcript if each.kind == "card"]
    assert card.card is not None
    assert [option.label for option in card.card.options] == ["☐ cheese", "☐ ham", "☐ basil", "Done"]
    routed = await ann.clicks("basil", in_=chat)
    assert (routed.dropped, routed.message_ids) == (None, ())
    edit = await chat.expect(kind="edit")
    assert (edit.about, edit.chosen) == (card.id, ("basil",))
    await ann.clicks("ham", in_=chat)
    assert (await chat.expect(kind="edit")).chosen == ("ham", "basil")
    await ann.clicks("basil", in_=chat)
    assert (await chat.expect(kind="edit")).chosen == ("ham",)
    await ann.clicks("cheese", in_=chat)
    await ann.clicks("Done", in_=chat)
    await chat.expect("got cheese\nham")
    assert answers(world) == [
        {
            "type": "question_response",
            "questionId": card.card.question_id,
            "selectedOption": "cheese, ham",
            "selectedOptions": ["cheese", "ham"],
            "userId": "fake:ann",
        }
    ]


async def test_done_without_a_choice_is_told_and_asks_on(world: World) -> None:
    ann, _ben, chat = await asked(world, multiple=True)
    assert (await ann.clicks("Done", in_=chat)).dropped == "choose at least one option first"
    await ann.chooses("ham", "cheese", in_=chat)
    await chat.expect("got cheese\nham")


async def test_a_choice_survives_the_host(world: World) -> None:
    ann, ben, chat = await asked(world, multiple=True)
    await ann.clicks("ham", in_=chat)
    await world.restart()
    await ben.chooses("basil", in_=chat)
    await chat.expect("got ham\nbasil", within=3600)


async def test_a_click_that_is_offered_twice_changes_the_choice_once(world: World) -> None:
    ann, _ben, chat = await asked(world, multiple=True)
    [question] = await world.host.admin.questions.list()
    click = Clicked(chat.address, "click-x", question.question_id, "ham", ann.id)
    for _ in range(2):
        assert (await world.channel.offer(click)).dropped is None
    assert [each.chosen for each in await world.host.admin.questions.list()] == [("ham",)]
    refused = await world.channel.offer(evolve(click, event_id="click-y", value="pineapple"))
    assert refused.dropped == "the question has no such answer"


@pytest.mark.world(channel=FakeChannel(buttons=False))
@pytest.mark.parametrize("text", ["1, 3", "3;1", "cheese, BASIL", " 1 , basil"])
async def test_without_buttons_a_list_chooses_several_options(world: World, text: str) -> None:
    ann, _ben, chat = await asked(world, multiple=True)
    shown = chat.transcript[-1].text
    assert shown.splitlines()[-1] == "Answer with numbers, such as 1, 2."
    await ann.says(text, in_=chat)
    await chat.expect("got cheese\nbasil")


@pytest.mark.world(channel=FakeChannel(buttons=False))
@pytest.mark.parametrize("text", ["1, 4", "cheese and more", ","])
async def test_a_list_with_something_else_in_it_is_an_ordinary_message(world: World, text: str) -> None:
    ann, _ben, chat = await asked(world, multiple=True)
    routed = await ann.says(text, in_=chat)
    assert routed.message_ids[0].startswith("in-")
    assert len(await world.host.admin.questions.list()) == 1


# -- in one's own words -------------------------------------------------------------------


async def test_a_message_answers_a_question_that_takes_a_text(world: World) -> None:
    ann, _ben, chat = await asked(world, free_text=True)
    assert (await ann.says("/status", in_=chat)).message_ids[0].startswith("in-")
    routed = await ann.says("  anchovies, please ", in_=chat)
    assert routed.message_ids[0].startswith("answer-")
    await chat.expect(re.compile("got anchovies, please$|heard anchovies, please$"), within=120)
    [answer] = answers(world)
    assert (answer["selectedOption"], answer["freeText"], answer["userId"]) == (
        "anchovies, please",
        True,
        "fake:ann",
    )
    assert (await ann.says("thanks", in_=chat)).message_ids[0].startswith("in-")


async def test_a_question_without_options_is_a_text_that_a_message_answers(world: World) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann, world.agent(brain=asking(options=[], free_text=True)))
    await ann.says("ask")
    await chat.expect("Pizza\nWhat on it?\nAnswer with a message.")
    await ann.says("tuna")
    await chat.expect("got tuna")


async def test_a_question_has_options_or_takes_a_text(world: World) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann, world.agent(brain=asking(options=[])))
    await ann.says("ask")
    await chat.expect("refused: options is missing: without options, a question needs free_text")


async def test_the_channel_s_own_input_answers_a_question_that_takes_a_text(world: World) -> None:
    ann, ben, chat = await asked(world, free_text=True, who="asker")
    assert (await ben.writes("olives", in_=chat)).dropped == "only ann may answer the question"
    assert (await ann.writes("  ", in_=chat)).dropped == "the text is empty"
    await ann.writes("olives", in_=chat)
    await chat.expect("got olives")


async def test_a_text_for_a_question_that_takes_none_is_refused(world: World) -> None:
    ann, _ben, chat = await asked(world)
    refused = await ann.writes("olives", in_=chat)
    assert refused.dropped == "the question takes no text: choose one of its options"


async def test_an_edited_message_answers_nothing(world: World) -> None:
    ann, _ben, chat = await asked(world, free_text=True)
    message = ChatMessage("event-1", "ask again", ann.name, ann.id)
    routed = await world.channel.offer(InboundEvent(chat.address, "event-1", message, version="edit-1"))
    assert not [each for each in routed.message_ids if each.startswith("answer-")]
    assert len(await world.host.admin.questions.list()) == 1


# -- the end ------------------------------------------------------------------------------


async def test_the_agent_is_told_when_a_question_expires(world: World) -> None:
    ann, _ben, chat = await asked(world, expires_s=3600)
    await chat.expect(re.compile("^got no answer yet"), within=90)
    [question] = await world.host.admin.questions.list()
    assert question.expires_at is not None
    await world.sleep(minutes=57)
    assert len(await world.host.admin.questions.list()) == 1
    await chat.expect("heard True", within=180)
    [card] = [each for each in chat.transcript if each.kind == "card"]
    edit = await _edited(chat)
    assert (edit.about, edit.text) == (card.id, "Pizza\nWhat on it?\nExpired: nobody answered in time")
    late = await ann.clicks("ham", in_=chat, card=card)
    assert late.dropped == "the question has expired: nobody answered in time"
    assert answers(world) == [
        {"type": "question_response", "questionId": question.question_id, "expired": True}
    ]


async def _edited(chat: Chat) -> Entry:
    while True:
        found = [each for each in chat.transcript if each.kind == "edit"]
        if found:
            return found[-1]
        await chat.log.changed.wait()


async def test_a_tool_that_waits_is_told_of_the_expiry(world: World) -> None:
    _ann, _ben, chat = await asked(world, expires_s=10)
    await chat.expect("got the question has expired: nobody answered in time", within=15)


async def test_without_another_time_a_question_expires_after_seven_days(world: World) -> None:
    await asked(world)
    [question] = await world.host.admin.questions.list()
    assert question.expires_at == question.created_at + timedelta(days=7)


async def test_a_question_that_expired_while_the_host_was_down_ends_at_its_start(world: World) -> None:
    _ann, _ben, chat = await asked(world, expires_s=3600)
    await world.sleep(minutes=2)
    await world.stop()
    await world.sleep(days=2)
    await world.start()
    await chat.expect("heard True", within=60)


async def test_a_date_that_was_set_back_delays_no_expiry(world: World) -> None:
    _ann, _ben, chat = await asked(world, expires_s=3600)
    await world.sleep(minutes=2)
    world.clock.jump(-timedelta(days=300))
    await chat.expect("heard True", within=3700)


async def test_an_answered_card_shows_the_answer_and_who_gave_it(world: World) -> None:
    ann, _ben, chat = await asked(world)
    [card] = [each for each in chat.transcript if each.kind == "card"]
    await ann.clicks("ham", in_=chat)
    edit = await chat.expect(kind="edit")
    assert (edit.about, edit.text) == (card.id, "Pizza\nWhat on it?\nAnswer: ham (ann)")
    again = await ann.clicks("ham", in_=chat, card=card)
    assert again.dropped == "you have answered the question already: ham"


async def test_a_withdrawn_card_says_so(world: World) -> None:
    ann, _ben, chat = await asked(world)
    [card] = [each for each in chat.transcript if each.kind == "card"]
    [question] = await world.host.admin.questions.list()
    await world.host.admin.questions.delete(question.question_id)
    edit = await chat.expect(kind="edit")
    assert edit.text == "Pizza\nWhat on it?\nWithdrawn: no answer is needed any more"
    late = await ann.clicks("ham", in_=chat, card=card)
    assert late.dropped == "the question was withdrawn: no answer is needed any more"


async def test_a_card_shows_its_end_once_the_network_can_be_reached_again(world: World) -> None:
    ann, _ben, chat = await asked(world)
    world.channel.fail("unavailable", times=4)
    await ann.clicks("ham", in_=chat)
    edit = await chat.expect(kind="edit", within=300)
    assert edit.text.endswith("Answer: ham (ann)")


# -- deaths -------------------------------------------------------------------------------


class DiesAt:
    """Kills the host at one commit of the central database after the card."""

    def __init__(self, world: World, n: int, when: When) -> None:
        self.world, self.n, self.when = world, n, when
        self.hit = False

    def __call__(self, path: Path, when: When, n: int) -> None:
        del n
        if self.hit or not self.world.channel.sent or when != self.when or "v2.db" not in str(path):
            return
        self.n -= 1
        if self.n < 0:
            self.hit = True
            self.world.kill_host_now()


async def _lives_again(world: World) -> None:
    while True:
        await world.ended()
        await world.sleep(1)
        await world.start()


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("n", range(8))
async def test_a_host_killed_at_a_commit_keeps_each_choice_and_ends_with_a_true_card(
    n: int, when: When, autojump_clock: MockClock
) -> None:
    del autojump_clock
    async with World(channel=FakeChannel(repeat="idempotent")) as world:
        ann = world.user("ann")
        chat = await world.direct(ann, world.agent(brain=asking(multiple=True)))
        world.commit_hooks.append(DiesAt(world, n, when))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_lives_again, world)
            await ann.says("ask", within=3600)
            await chat.expect(kind="card", within=3600)
            for label in ("ham", "basil", "basil", "cheese", "Done"):
                await ann.clicks(label, within=3600)
            await chat.expect("got cheese\nham", within=3600)
            await world.sleep(hours=1)
            nursery.cancel_scope.cancel()
        assert await world.host.admin.questions.list() == []
        await world.stop()
        assert [each["selectedOptions"] for each in answers(world)] == [["cheese", "ham"]]
        edits = [each.text for each in chat.transcript if each.kind == "edit"]
        assert edits[-1] == "Pizza\nWhat on it?\nAnswer: cheese, ham (ann)"
