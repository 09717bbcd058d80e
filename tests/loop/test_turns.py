"""A turn of the agent loop: tools, follow-ups, destinations, limits, pictures, drafts."""

import json
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path

import pytest
import trio
from attrs import evolve

from agent_runner.errors import ProviderError, ToolError
from agent_runner.providers.toolbox import ShownFile
from agent_runner.records import Address, Destination, Sent
from nanoclaw.testing import ModelAnswer, ModelCall, ModelFailure
from nanoclaw.testing.conformance.turns import CHAT, message, turn_of
from tests.loop.talk import PROVIDERS, answering

pytestmark = pytest.mark.parametrize("provider", PROVIDERS)
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 100
FAMILY = Destination("family", "Family", Address("test", "family"))


async def test_calls_of_one_answer_run_at_the_same_time_and_keep_their_order(provider: str) -> None:
    async def slow(_arguments: Mapping[str, object]) -> str:
        await trio.sleep(10)
        return "slow is done"

    async def broken(_arguments: Mapping[str, object]) -> str:
        raise ToolError("broken is broken")

    calls = [ModelCall("slow"), ModelCall("broken"), ModelCall("slow")]
    async with answering(provider, ModelAnswer("", calls), "done") as (talk, model):
        talk.tools.functions = {"slow": slow, "broken": broken}
        assert await talk.say("go") == ["done"]
    assert trio.current_time() == pytest.approx(10)
    assert _results(provider, model.requests[1].messages) == [
        "slow is done",
        "broken is broken",
        "slow is done",
    ]


def _results(provider: str, messages: object) -> list[str]:
    assert isinstance(messages, list)
    if provider == "openai":
        return [each["content"].removeprefix("Error: ") for each in messages if each["role"] == "tool"]
    parts = [part for each in messages for part in each["content"]]
    return [part["content"] for part in parts if part["type"] == "tool_result"]


async def test_what_people_see_is_sent_in_the_order_of_the_calls(provider: str) -> None:
    calls = [ModelCall("send_message", {"text": str(n)}) for n in range(9)]
    async with answering(provider, ModelAnswer("", calls), "done") as (talk, _):
        await talk.say("count")
    assert [arguments["text"] for _, arguments in talk.tools.calls] == [str(n) for n in range(9)]


async def test_texts_beside_calls_are_not_sent(provider: str) -> None:
    answer = ModelAnswer("let me think", [ModelCall("send_message", {"text": "wait"})])
    async with answering(provider, answer, "done") as (talk, _):
        assert await talk.say("go") == ["done"]


async def test_a_long_result_is_cut_in_the_middle(provider: str) -> None:
    async def long(_arguments: Mapping[str, object]) -> str:
        return "begin" + "x" * 1_000_000 + "end"

    answers = [ModelAnswer("", [ModelCall("long")]), "done"]
    async with answering(provider, *answers, context_tokens=200_000) as (talk, model):
        talk.tools.functions["long"] = long
        await talk.say("go")
    [result] = _results(provider, model.requests[1].messages)
    assert (result[:5], result[-3:], len(result) < 101_000) == ("begin", "end", True)


async def test_what_an_interrupted_turn_has_sent_is_not_sent_again(provider: str) -> None:
    call = ModelCall("send_message", {"text": "on it"})
    elsewhere = ModelCall("send_message", {"text": "on it", "to": "family"})
    sent = Sent(3, "chat", CHAT, {"text": "on it"})
    async with answering(provider, ModelAnswer("", [elsewhere, call, call]), "done") as (talk, model):
        turn = evolve(turn_of(message(1, "go")), already_sent=(sent,), home=CHAT, destinations=(FAMILY,))
        assert await talk.take(turn) == ["done"]
    assert [arguments for _, arguments in talk.tools.calls] == [elsewhere.arguments, call.arguments]
    assert "before the turn was interrupted, as message 3" in json.dumps(model.requests[1].body)


async def test_follow_ups_are_shown_before_the_next_answer_and_consumed(provider: str) -> None:
    async with answering(provider, ModelAnswer("", [ModelCall("wait")]), "done") as (talk, model):

        async def wait(_arguments: Mapping[str, object]) -> str:
            talk.tools.arrive(message(2, "and hurry"))
            await trio.sleep(1)
            return "waited"

        talk.tools.functions["wait"] = wait
        result = await talk.result(turn_of(message(1, "go")))
    assert "and hurry" in model.requests[1].text
    assert result.consumed == ("in-2",)


async def test_a_follow_up_that_the_model_has_not_seen_is_left_to_the_next_turn(provider: str) -> None:
    async with (
        answering(provider, ModelAnswer("done", before=10)) as (talk, _),
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(_arrive_later, talk.tools)
        result = await talk.result(turn_of(message(1, "go")))
    assert (result.consumed, [reply.text for reply in result.replies]) == ((), ["done"])


async def _arrive_later(tools: object) -> None:
    await trio.sleep(5)
    tools.arrive(message(2, "and hurry"))  # type: ignore[attr-defined]  # a Desk


async def test_an_unknown_destination_is_told_to_the_model_once(provider: str) -> None:
    wrong = 'hi <message to="famly">dinner</message>'
    right = 'hi <message to="family">dinner</message>'
    turn = evolve(turn_of(message(1, "go")), destinations=(FAMILY,))
    async with answering(provider, wrong, right, wrong, wrong) as (talk, model):
        replies = (await talk.result(turn)).replies
        assert [(reply.text, reply.to) for reply in replies] == [("hi", None), ("dinner", "family")]
        assert "family" in model.requests[1].text
        assert await talk.take(turn) == ["hi"]
    assert "famly" in str(talk.recorded("error"))


async def test_a_turn_that_runs_away_ends_with_what_it_has(provider: str) -> None:
    call = ModelAnswer("", [ModelCall("send_message", {"text": "again"})])
    async with answering(provider, call, call, call, "that is all", max_turn_steps=3) as (talk, model):
        assert await talk.say("go") == ["that is all"]
    assert len(model.requests) == 4
    assert model.requests[3].body["tool_choice"] in ("none", {"type": "none"})


async def test_a_turn_that_runs_away_and_gets_no_last_answer_says_so(provider: str) -> None:
    call = ModelAnswer("", [ModelCall("send_message", {"text": "again"})])
    async with answering(provider, call, call, ModelFailure(401), max_turn_steps=2) as (talk, _):
        [text] = await talk.say("go")
    assert text.startswith("I have stopped after 2 steps")


async def test_drafts_show_the_answer_as_it_comes_without_what_is_internal(provider: str) -> None:
    answer = ModelAnswer("<internal>hm</internal>one two three four", pieces=10, between=0.1)
    async with answering(provider, answer) as (talk, _):
        await talk.say("count")
    assert "one two" in talk.tools.drafts[-1]
    assert not any("hm" in draft for draft in talk.tools.drafts)


async def test_replies_answer_the_message_in_the_chat_that_is_being_answered(provider: str) -> None:
    async with answering(provider, "yes") as (talk, _):
        turn = evolve(turn_of(message(1, "a"), message(2, "b")), home=CHAT)
        result = await talk.result(turn)
    assert [reply.in_reply_to for reply in result.replies] == ["in-2"]


# -- pictures ----------------------------------------------------------------------


def _picture(inbound: Path, n: int = 1) -> object:
    folder = inbound / "inbox" / f"in-{n}"
    folder.mkdir(parents=True)
    (folder / "a.png").write_bytes(PNG)
    files = [{"type": "image", "name": "cat.png", "localPath": f"in/inbox/in-{n}/a.png"}]
    plain = message(n, "look")
    return evolve(plain, content={**plain.content, "attachments": files})


def _shown(body: object) -> int:
    return json.dumps(body).count("iVBORw0KGgo")


async def test_pictures_are_shown_while_they_are_recent(provider: str) -> None:
    async with answering(provider, *["yes"] * 3) as (talk, model):
        await talk.take(turn_of(_picture(talk.context.inbound)))  # type: ignore[arg-type]  # a message
        await talk.say("and what is behind it?")
        await talk.say("thanks")
    assert [_shown(request.body) for request in model.requests] == [1, 1, 0]
    assert "cat.png" in json.dumps(model.requests[2].body)
    assert "iVBOR" not in str(talk.state.values)


async def test_a_picture_that_the_model_does_not_take_is_left_out_from_then_on(provider: str) -> None:
    answers = [ModelFailure(400, kind="no pictures"), "a picture?", "yes", "yes"]
    async with answering(provider, *answers) as (talk, model):
        picture = turn_of(_picture(talk.context.inbound))  # type: ignore[arg-type]  # a message
        assert await talk.take(picture) == ["a picture?"]
        assert await talk.take(picture) == ["yes"]
    assert [_shown(request.body) for request in model.requests] == [1, 0, 0]
    assert "is not shown to you" in json.dumps(model.requests[1].body)


async def test_a_picture_that_is_broken_is_left_out_of_its_turn_alone(provider: str) -> None:
    answers = [ModelFailure(400, "Could not process image"), "a picture?", "yes"]
    async with answering(provider, *answers) as (talk, model):
        assert await talk.take(turn_of(_picture(talk.context.inbound))) == ["a picture?"]  # type: ignore[arg-type]  # a message
        await talk.take(turn_of(_picture(talk.context.inbound, 2)))  # type: ignore[arg-type]  # a message
    assert [_shown(request.body) for request in model.requests][:2] == [1, 0]
    assert _shown(model.requests[2].body) == 2


# -- usage -------------------------------------------------------------------------


async def test_the_tokens_of_a_turn_are_recorded_also_if_it_fails(provider: str) -> None:
    call = ModelAnswer("", [ModelCall("send_message", {"text": "wait"})])
    async with answering(provider, call, "done", call, ModelFailure(401)) as (talk, _):
        await talk.say("go")
        with pytest.raises(ProviderError):
            await talk.say("go")
    first, second = talk.recorded("usage")
    assert (first["input_tokens"], first["output_tokens"], first["requests"]) == (20, 10, 2)
    assert (second["provider"], second["model"], second["input_tokens"]) == (provider, "fake-model", 10)


async def test_a_picture_that_a_tool_reads_is_shown_to_the_model(provider: str) -> None:
    async def read(_arguments: Mapping[str, object]) -> str:
        path = talk.context.workspace / "chart.png"
        path.write_bytes(PNG)
        talk.tools.shown.append(ShownFile("chart.png", path.resolve(), "image/png"))
        return "it is shown to you"

    async with answering(provider, ModelAnswer("", [ModelCall("read")]), "a chart") as (talk, model):
        talk.tools.functions = {"read": read}
        assert await talk.say("draw") == ["a chart"]
    assert b64encode(PNG).decode() in json.dumps([dict(model.requests[1].body)])
