"""The conversation is kept in the session's state, and shortened before it no longer fits."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from agent_runner.errors import ProviderFatal
from agent_runner.loop.history import HistoryReader, key_of, read_history
from agent_runner.providers import Compacting, Forgetting
from nanoclaw.testing import FakeModel, ModelAnswer, ModelCall, ModelFailure, ModelRequest
from nanoclaw.testing.conformance.contexts import MemoryState
from nanoclaw.testing.conformance.turns import message, turn_of
from nanoclaw.testing.models.answers import Reaction
from tests.loop.talk import PROVIDERS, Talk, answering, talking

TOOL = ModelAnswer("", [ModelCall("send_message", {"text": "wait"}, id="toolu_strange.id")])


def spoken(request: ModelRequest) -> str:
    return json.dumps(request.messages, ensure_ascii=False)


@pytest.mark.parametrize("first", PROVIDERS)
@pytest.mark.parametrize("second", PROVIDERS)
async def test_a_restart_or_another_provider_keeps_the_conversation(first: str, second: str) -> None:
    state = MemoryState()
    async with talking(first, FakeModel([TOOL, "your name is Ann"]), state) as talk:
        await talk.say("my name is Ann")
    model = FakeModel(["hello again"])
    async with talking(second, model, state) as talk:
        await talk.say("who am I?")
    for words in ("my name is Ann", "send_message", "sent as message", "your name is Ann", "who am I?"):
        assert words in spoken(model.requests[0])


async def test_a_conversation_goes_through_the_script_and_back() -> None:
    state = MemoryState()
    async with talking("openai", FakeModel([TOOL, "one"]), state) as talk:
        await talk.say("say one")
    async with talking("scripted", FakeModel(()), state, name="") as talk:
        (talk.context.workspace / "script.json").write_text('{"turn": [{"step": [{"text": "two"}]}]}')
        assert await talk.say("say two") == ["two"]
    model = FakeModel(["three"])
    async with talking("anthropic", model, state) as talk:
        await talk.say("say three")
    assert all(words in spoken(model.requests[0]) for words in ("one", "say two", "two", "say three"))


async def test_a_turn_that_did_not_end_is_not_in_the_conversation() -> None:
    async with answering("openai", TOOL, ModelFailure(401), "fine") as (talk, model):
        with pytest.raises(ProviderFatal):
            await talk.say("first words")
        await talk.say("second words")
    assert "first words" not in spoken(model.requests[-1])


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "{",
        "[]",
        '{"v": 2, "messages": []}',
        '{"v": 1, "messages": [{"said": "x", "calls": [["1", "t", {}]]}]}',
        '{"v": 1, "messages": [{"asked": [3]}]}',
        '{"v": 1, "messages": [{"asked": ["a"]}, {"said": "", "calls": [["1", "t", {}]]}]}',
        "[" * 100_000,
    ],
    ids=lambda text: text[:30],
)
async def test_a_value_of_another_build_is_skipped_with_an_event(damage: str) -> None:
    state = MemoryState({key_of(1): damage, "learned": damage, "history/x": "?", "model": ""})
    async with talking("openai", FakeModel(["one", "two"]), state) as talk:
        assert await talk.say("a") == ["one"]
        assert await talk.say("b") == ["two"]
    assert len(talk.recorded("error")) == 1
    assert min(turn.number for turn in read_history(state.values).turns) == 2


async def test_users_choose_the_model_of_their_session() -> None:
    state = MemoryState({"model": "better-model"})
    model = FakeModel("yes")
    async with talking("openai", model, state) as talk:
        await talk.say("hi")
    assert model.requests[0].model == "better-model"


# -- compaction --------------------------------------------------------------------


def summarising(request: ModelRequest) -> Reaction:
    """Answer, and summarise where that is asked."""
    return "SUMMARY of it all" if request.system.startswith("You summarise") else ModelAnswer("yes " * 200)


@asynccontextmanager
async def long_talk(provider: str, turns: int, **settings: Any) -> AsyncIterator[tuple[Talk, FakeModel]]:
    model = FakeModel(summarising)
    async with talking(provider, model, **settings) as talk:
        for n in range(turns):
            await talk.say(f"question {n} " + "word " * 200)
        yield talk, model


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_older_turns_are_summarised_and_archived_before_they_no_longer_fit(provider: str) -> None:
    async with long_talk(provider, 30, context_tokens=8000) as (talk, model):
        files = sorted((talk.context.workspace / "conversations").iterdir())
        text = "".join(file.read_text() for file in files)
    assert any(request.system.startswith("You summarise") for request in model.requests)
    assert "SUMMARY of it all" in spoken(model.requests[-1])
    assert "question 0 " not in spoken(model.requests[-1])
    assert "question 28 " in spoken(model.requests[-1])
    assert all(f"question {n} " in text for n in range(10))
    assert files[0].name.startswith("2026-01-01-")
    assert max(len(spoken(request)) for request in model.requests) / 3.5 < 8000


async def test_a_summary_is_committed_with_its_turn() -> None:
    async with long_talk("openai", 30, context_tokens=8000) as (talk, model):
        history = read_history(talk.state.values)
        assert history.summary == "SUMMARY of it all"
        assert not history.stale
        before = dict(talk.state.values)
        model.answers = lambda request: (
            summarising(request) if "summarise" in request.system else ModelFailure(401)
        )
        with pytest.raises(ProviderFatal):
            await talk.say("word " * 4000)
    assert talk.state.values == before


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_compact_summarises_now_and_forget_begins_anew(provider: str) -> None:
    async with long_talk(provider, 3) as (talk, model):
        handler = talk.handler
        assert isinstance(handler, Compacting)
        assert isinstance(handler, Forgetting)
        assert "3 turns" in await handler.compact()
        assert list(talk.state.values) == [key_of(3)]
        await talk.say("next")
        assert "SUMMARY of it all" in spoken(model.requests[-1])
        assert "question" not in spoken(model.requests[-1])
        talk.state.values.clear()
        await handler.forget()
        assert "nothing" in await handler.compact()
        await talk.say("next")
    assert "SUMMARY" not in spoken(model.requests[-1])


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_context_that_is_smaller_than_assumed_is_learned(provider: str) -> None:
    def strict(request: ModelRequest) -> Reaction:
        too_long = len(spoken(request)) / 3.5 > 6000
        return ModelFailure(400, kind="too long") if too_long else summarising(request)

    model = FakeModel(strict)
    async with talking(provider, model) as talk:
        for n in range(30):
            assert await talk.say(f"question {n} " + "word " * 200)
        refused = len([data for data in talk.recorded("error") if "changed" in str(data)])
    assert 1 <= refused <= 4


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_message_that_is_too_long_by_itself_is_cut_in_the_middle(provider: str) -> None:
    model = FakeModel("yes")
    async with talking(provider, model, context_tokens=8000) as talk:
        assert await talk.say("begin " + "word " * 9000 + "end") == ["yes"]
    assert "characters left out" in model.requests[0].text
    assert len(model.requests[0].text) < 8000 * 3.5


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_server_for_which_everything_is_too_long_ends_the_turn(provider: str) -> None:
    model = FakeModel(ModelFailure(400, kind="too long"))
    async with talking(provider, model) as talk:
        with pytest.raises(ProviderFatal) as caught:
            await talk.say("hi")
    assert "too long" in caught.value.for_user
    assert len(model.requests) <= 5


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_conversation_that_the_server_refuses_starts_afresh_and_says_so_once(provider: str) -> None:
    answers = ["one", ModelFailure(400, kind="bad history"), "two", "three"]
    async with answering(provider, *answers) as (talk, model):
        await talk.say("first words")
        note, text = await talk.say("second words")
        assert (text, "afresh" in note) == ("two", True)
        assert await talk.say("third words") == ["three"]
        assert list((talk.context.workspace / "conversations").iterdir())
    assert "first words" not in spoken(model.requests[-1])
    assert "second words" in spoken(model.requests[-1])


async def test_a_huge_turn_is_stored_in_a_value_that_the_state_takes() -> None:
    calls = [ModelCall("send_message", {"text": "x" * 200_000}) for _ in range(8)]
    async with answering("openai", ModelAnswer("", calls), "done", "yes", context_tokens=900_000) as (
        talk,
        _,
    ):
        assert await talk.say("go") == ["done"]
        assert await talk.say("go on") == ["yes"]
    assert len(read_history(talk.state.values).turns) == 2


async def test_a_conversation_that_others_have_changed_is_read_anew() -> None:
    async with answering("openai", "one", "two") as (talk, _):
        await talk.say("first words")
        await talk.say("second words")
    first, second = key_of(1), key_of(2)
    values, histories = dict(talk.state.values), HistoryReader()
    before = histories.read(values)
    swapped = histories.read({first: values[second], second: values[first]})
    assert [turn.messages for turn in swapped.turns] == [turn.messages for turn in reversed(before.turns)]
    assert [turn.number for turn in histories.read({second: values[second]}).turns] == [2]
    assert histories.read({}).turns == ()
    assert histories.read({first: "no JSON"}).unreadable == 1


async def test_the_server_may_cache_what_the_next_turns_begin_with() -> None:
    async with answering("anthropic", "one", "two") as (talk, model):
        await talk.take(turn_of(message(1, "a")))
        await talk.take(turn_of(message(2, "b")))
    body = model.requests[1].body
    assert "cache_control" in body["system"][-1]
    marked = [n for n, each in enumerate(body["messages"]) if "cache_control" in each["content"][-1]]
    assert marked == [1, 2]
