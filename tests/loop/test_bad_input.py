"""Whatever a model's server does wrong, a turn has one defined outcome, and its requests are bounded."""

import re
from datetime import timedelta

import pytest
import trio

from agent_runner.errors import ProviderError, ProviderFatal
from nanoclaw.testing import ModelAnswer, ModelBreak, ModelCall, ModelFailure
from nanoclaw.testing.conformance.turns import WHEN
from tests.loop.talk import PROVIDERS, answering

pytestmark = pytest.mark.parametrize("provider", PROVIDERS)


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (ModelFailure(401), "nanoclaw setup"),
        (ModelFailure(403, "not yours"), "does not allow"),
        (ModelFailure(404, kind="no model"), r"\[model\] name"),
        (ModelFailure(400, "temperature is out of range"), "refuses the request"),
        (ModelFailure(402), "credit"),
        (ModelFailure(429, kind="quota"), "credit"),
        (ModelFailure(429, kind="quota", headers={"retry-after": "600"}), "again at 12:10 UTC"),
        (ModelFailure(400, kind="quota"), "credit"),
        (
            ModelFailure(503, body=b'{"error": {"type": "nanoclaw_key", "message": "key file is gone"}}'),
            "gone",
        ),
    ],
)
async def test_what_only_the_owner_can_change_is_told_once_and_not_tried_again(
    provider: str, failure: ModelFailure, words: str
) -> None:
    async with answering(provider, failure) as (talk, model):
        with pytest.raises(ProviderFatal) as caught:
            await talk.say("hi")
    assert len(model.requests) == 1
    assert re.search(words, caught.value.for_user)


@pytest.mark.parametrize(
    ("failure", "after_s", "requests"),
    [
        (ModelFailure(429, headers={"retry-after": "120"}), 120, 1),
        (ModelFailure(429, headers={"retry-after": "999999"}), 3600, 1),
        (ModelFailure(529, headers={"retry-after": "2"}), 2, 3),
        (ModelFailure(500), 30, 3),
        (ModelFailure(502, body=b"<html>bad gateway</html>"), 30, 3),
        (ModelFailure(504), 30, 1),
        (ModelBreak(kind="cut"), 30, 3),
        (ModelBreak(kind="cut", text="half of an answ"), 30, 1),
        (ModelBreak(kind="no json"), 30, 3),
        (ModelBreak(kind="no json", text="half"), 30, 1),
        (ModelBreak(kind="no events"), 30, 3),
        (ModelBreak(kind="silent"), 30, 1),
        (ModelBreak(kind="silent", text="well"), 30, 1),
    ],
    ids=str,
)
async def test_what_may_pass_is_tried_again_later(
    provider: str, failure: ModelFailure | ModelBreak, after_s: float, requests: int
) -> None:
    async with answering(provider, *[failure] * 9) as (talk, model):
        with pytest.raises(ProviderError) as caught:
            await talk.say("hi")
    assert not isinstance(caught.value, ProviderFatal)
    assert (caught.value.retry_at, len(model.requests)) == (WHEN + timedelta(seconds=after_s), requests)


async def test_ten_minutes_of_silence_end_the_request(provider: str) -> None:
    async with answering(provider, ModelBreak(kind="silent")) as (talk, _):
        with pytest.raises(ProviderError, match=r"silent|reached"):
            await talk.say("hi")
    assert trio.current_time() == pytest.approx(600)


async def test_a_short_failure_is_overcome_in_the_turn(provider: str) -> None:
    async with answering(provider, ModelFailure(500), ModelBreak(kind="cut"), "hello") as (talk, _):
        assert await talk.say("hi") == ["hello"]
    assert trio.current_time() < 10


async def test_a_budget_that_is_used_up_releases_the_turn_for_a_minute(provider: str) -> None:
    body = b'{"type": "error", "error": {"type": "nanoclaw_budget", "message": "the budget is used up"}}'
    async with answering(provider, ModelFailure(402, body=body)) as (talk, _):
        with pytest.raises(ProviderError) as caught:
            await talk.say("hi")
    assert caught.value.retry_at == WHEN + timedelta(seconds=60)
    assert not isinstance(caught.value, ProviderFatal)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (ModelCall("send_message", "{broken"), "not JSON"),
        (ModelCall("send_message", "[1]"), "not a JSON object"),
        (ModelCall("send_message", {"no": "text"}), "text"),
        (ModelCall("no such tool \N{PILE OF POO}"), "there is no tool"),
    ],
    ids=["broken", "list", "wrong", "unknown"],
)
async def test_a_bad_call_is_explained_to_the_model(provider: str, call: ModelCall, words: str) -> None:
    async with answering(provider, ModelAnswer("", [call]), "sorry") as (talk, model):
        assert await talk.say("hi") == ["sorry"]
    assert words in model.requests[1].text


async def test_an_endless_answer_is_cut_off(provider: str) -> None:
    endless = ModelAnswer("word " * 1_000_000, pieces=500)
    async with answering(provider, endless, "fine", context_tokens=200_000) as (talk, _):
        [text] = await talk.say("hi")
        assert await talk.say("hi again") == ["fine"]
    assert 90_000 < len(text) < 101_000
    assert text.endswith("[cut off]")


async def test_an_answer_at_its_limit_says_so(provider: str) -> None:
    async with answering(provider, ModelAnswer("and then", stop="length"), ModelAnswer(stop="length")) as (
        talk,
        _,
    ):
        assert await talk.say("hi") == ["and then\n\n[cut off]"]
        [text] = await talk.say("hi")
    assert "max_tokens" in text


async def test_a_refusal_is_told(provider: str) -> None:
    async with answering(provider, ModelAnswer(stop="refusal")) as (talk, _):
        assert await talk.say("hi") == ["[The model declines to answer this.]"]


async def test_an_empty_answer_is_silence_and_the_conversation_goes_on(provider: str) -> None:
    async with answering(provider, "", " \n", "hello") as (talk, _):
        assert await talk.say("hi") == []
        assert await talk.say("hi") == []
        assert await talk.say("hi") == ["hello"]
