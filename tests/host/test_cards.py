"""Rows with cards (contract 5), as any container may write them, and their deliveries."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from nanoclaw.channels.cards import as_text
from nanoclaw.records import (
    Address,
    Answer,
    CardContent,
    ChatMessage,
    InboundEvent,
    Option,
    QuestionContent,
    TextContent,
)
from nanoclaw.records.content import BadContent, dump_parked, load_outgoing, load_parked
from nanoclaw.registry.questions import MAX_WAITING
from nanoclaw.session.conversations import conversation
from nanoclaw.testing import FakeChannel
from tests.host.runtimes import FakeRuntime
from tests.host.stage import Stage, a_stage, assert_says, row
from tests.host.test_deliveries import says


def question(**values: object) -> str:
    good: dict[str, object] = {
        "type": "ask_question",
        "questionId": "q-1",
        "title": "Deploy",
        "question": "Ship it?",
        "options": ["Yes", {"label": "No", "selectedLabel": "No!", "value": "n"}],
    }
    return json.dumps({**good, **values})


def test_a_question_has_a_title_a_text_and_options() -> None:
    options = (Option("Yes", "Yes", "Yes"), Option("No", "No!", "n"))
    assert load_outgoing(question()) == QuestionContent("q-1", "Deploy", "Ship it?", options)


def test_a_card_keeps_its_json_and_its_fallback_text() -> None:
    content = load_outgoing('{"type": "card", "card": {"rows": [1, "ä"]}, "fallbackText": "two"}')
    assert content == CardContent('{"rows": [1, "ä"]}', "two")
    assert as_text(content) == TextContent("two")


BAD: dict[str, tuple[Any, str]] = {
    "no id": ({"questionId": None}, "questionId is missing"),
    "a long id": ({"questionId": "q" * 129}, "questionId has 129 characters; the limit is 128"),
    "no title": ({"title": " "}, "title is missing, empty"),
    "a long question": ({"question": "x" * 4001}, "question has 4,001 characters"),
    "options of a text": ({"options": "Yes"}, "options is not a list of 1 to 25"),
    "no options": ({"options": []}, "options is not a list of 1 to 25"),
    "many options": ({"options": [str(n) for n in range(26)]}, "options is not a list of 1 to 25"),
    "an option of a number": ({"options": ["a", 5]}, "options[1] is neither text nor an object"),
    "an option without a label": ({"options": [{"value": "a"}]}, "options[0].label is missing"),
    "a long label": ({"options": ["x" * 101]}, "options[0].label has 101 characters"),
    "a value of a number": (
        {"options": [{"label": "a", "value": 1}]},
        "options[0].value is missing, empty or",
    ),
    "an unknown answerer": ({"who": "everybody"}, "who is none of asker, member, admin"),
    "an asker without an id": ({"who": "asker"}, "asker is missing"),
    "a flag of a text": ({"multiple": "yes"}, "multiple is neither true nor false"),
    "many of several": (
        {"multiple": True, "options": [str(n) for n in range(25)]},
        "options is not a list of 1 to 24",
    ),
    "a long label of several": ({"multiple": True, "options": ["x" * 99]}, "a label has at most 98"),
    "the host's value": ({"multiple": True, "options": [{"label": "a", "value": "__done__"}]}, "no value is"),
    "an early end": ({"expiresS": 9}, "expiresS is no whole number of seconds from 10 to 2,592,000"),
    "a late end": ({"expiresS": 2_592_001}, "expiresS is no whole number"),
    "an end of a truth": ({"expiresS": True}, "expiresS is no whole number"),
    "two of one label": ({"options": ["a", "a"]}, "two options have the same label"),
    "two of one value": ({"options": ["a", {"label": "b", "value": "a"}]}, "two options have the same value"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_question_is_refused_with_its_error(kind: str) -> None:
    values, reason = BAD[kind]
    with pytest.raises(BadContent) as error:
        load_outgoing(question(**values))
    assert reason in str(error.value)


@pytest.mark.parametrize("card", [5, "a card", [], None])
def test_a_card_is_an_object(card: object) -> None:
    with pytest.raises(BadContent, match="card is missing or is not an object"):
        load_outgoing(json.dumps({"type": "card", "card": card, "fallbackText": "x"}))


def test_a_card_is_json_that_every_program_reads() -> None:
    with pytest.raises(BadContent, match="card has a number that JSON does not know, such as NaN"):
        load_outgoing('{"type": "card", "card": {"a": NaN}, "fallbackText": "x"}')


def test_a_card_has_a_limited_size() -> None:
    card = json.dumps({"type": "card", "card": {"a": "x" * 99_991}, "fallbackText": "x"})
    assert load_outgoing(card) == CardContent(json.dumps({"a": "x" * 99_991}), "x")
    with pytest.raises(BadContent, match="card has 100,001 characters; the limit is 100,000"):
        load_outgoing(card.replace("xx", "xxx", 1))


def test_a_parked_answer_keeps_everything() -> None:
    where = Address("cli", "terminal", "t")
    said = InboundEvent(where, "e", ChatMessage("e", "1", "ann", "cli:ann"))
    for answer in (Answer("out", "q", "v", "u", where), Answer("out", "q", "v", "u", where, said)):
        assert load_parked(dump_parked(answer)) == (answer, True)


async def test_two_agents_do_not_ask_under_one_id(tmp_path: Path) -> None:
    async with a_stage(tmp_path) as stage:
        stage.writes(says("theirs", 1, None, question()), chat="good")
        await stage.delivered("theirs")
        stage.writes(says("mine", 1, None, question()), says("next", 3, None))
        await stage.delivered("next")
        assert_says("'q-1'", (await stage.details(lambda details: details.refused)).last_refused)
        [waits] = await stage.host.admin.questions.list()
        assert waits.message_out_id == "theirs"
        assert (await stage.channel.click("q-1", "Yes", chat="bad")).dropped is not None
        assert (await stage.channel.click("q-1", "n", chat="good")).dropped is None


async def test_a_question_that_was_answered_may_be_asked_again_under_its_id(tmp_path: Path) -> None:
    async with a_stage(tmp_path) as stage:
        for n, id_ in enumerate(("one", "two")):
            stage.writes(says(id_, 2 * n + 1, None, question()))
            await stage.delivered(id_)
            routed = await stage.channel.click("q-1", "Yes", chat="bad")
            assert routed.message_ids == (f"answer-{id_}",)


async def test_a_fake_channel_chooses_several_options_and_enters_a_text(tmp_path: Path) -> None:
    async with a_stage(tmp_path) as stage:
        stage.writes(
            says("several", 1, None, question(multiple=True)),
            says("words", 3, None, question(questionId="q-2", freeText=True)),
        )
        await stage.delivered("words")
        chosen = await stage.channel.choose("q-1", "n", "Yes", chat="bad")
        assert chosen.message_ids == ("answer-several",)
        refused = await stage.channel.choose("q-2", "maybe", chat="bad")
        assert refused.dropped == "the question has no such answer"
        written = await stage.channel.write("q-2", "perhaps", chat="bad")
        assert written.message_ids == ("answer-words",)


async def test_only_the_newest_questions_wait(tmp_path: Path) -> None:
    async with a_stage(tmp_path) as stage:
        ids = [f"q-{n}" for n in range(MAX_WAITING + 3)]
        stage.writes(*(says(id_, 2 * n + 1, None, question(questionId=id_)) for n, id_ in enumerate(ids)))
        await stage.delivered(ids[-1])
        assert [each.question_id for each in await stage.host.admin.questions.list()] == ids[3:]


async def test_a_card_is_shown_where_there_are_buttons(tmp_path: Path) -> None:
    async with a_stage(tmp_path) as stage:
        stage.writes(row(content='{"type": "card", "card": {"a": 1}, "fallbackText": "one"}'))
        await stage.delivered("out")
        assert stage.channel.sent[-1].content == CardContent('{"a": 1}', "one")


async def test_without_buttons_a_card_is_its_words(tmp_path: Path) -> None:
    stage = Stage(tmp_path, FakeChannel(buttons=False))
    async with stage.life():
        stage.writes(row(content='{"type": "card", "card": {}, "fallbackText": "one"}'))
        await stage.delivered("out")
        assert stage.channel.sent[-1].content == TextContent("one")


async def test_a_text_that_names_no_option_is_an_ordinary_message(tmp_path: Path) -> None:
    stage = Stage(tmp_path, FakeChannel(buttons=False))
    async with stage.life():
        stage.writes(says("asked", 1, None, question()))
        await stage.delivered("asked")
        maybe = await stage.channel.say("maybe", chat="bad", event_id="e1")
        assert maybe.message_ids[0].startswith("in-")
        assert (await stage.channel.say("NO", chat="bad", event_id="e2")).message_ids == ("answer-asked",)
        again = await stage.channel.say("NO", chat="bad", event_id="e3")
        assert again.message_ids[0].startswith("in-")


async def test_a_message_that_answered_is_no_second_one_when_it_is_offered_again(tmp_path: Path) -> None:
    stage = Stage(tmp_path, FakeChannel(buttons=False))
    async with stage.life():
        stage.writes(says("asked", 1, None, question()))
        await stage.delivered("asked")
        await stage.channel.say("2", chat="bad", event_id="e1")
        before = await stage.details(lambda details: details)
        await stage.channel.say("2", chat="bad", event_id="e1")
        assert (await stage.details(lambda details: details)).pending == before.pending


async def test_a_damaged_question_costs_its_answer_and_no_message(tmp_path: Path) -> None:
    stage = Stage(tmp_path, FakeChannel(buttons=False))
    async with stage.life():
        stage.writes(says("asked", 1, None, question()))
        await stage.delivered("asked")
    with closing(sqlite3.connect(tmp_path / "data" / "v2.db")) as central:
        central.execute("UPDATE pending_questions SET options_json = '{'")
        central.commit()
    stage.runtime = FakeRuntime()
    async with stage.life():
        routed = await stage.channel.say("1", chat="bad", event_id="e1")
        assert routed.message_ids[0].startswith("in-")
        click = await stage.channel.click("q-1", "Yes", chat="bad")
        assert "is damaged" in str(click.dropped)


async def test_an_answer_that_comes_again_counts_and_another_one_does_not(tmp_path: Path) -> None:
    async with a_stage(tmp_path) as stage:
        [session] = [
            each for each in await stage.host.admin.sessions.list() if each.id == stage.sessions["bad"]
        ]
        who = await stage.host.central.run(conversation, session)
        answer = Answer("out", "q", "yes", "fake:ann", stage.channel.address("bad"))
        assert [await stage.host.sessions.accept(who, answer) for _ in range(2)] == [True, True]
        assert not await stage.host.sessions.accept(who, evolve(answer, value="no"))
        assert not await stage.host.sessions.accept(who, evolve(answer, user_id="fake:ben"))
