"""Whatever a model's server does wrong, a turn has one defined outcome, and its requests are bounded."""

import json
import re
from datetime import timedelta

import pytest
import trio

from agent_runner.errors import ProviderError, ProviderFatal
from agent_runner.loop.client import LONGEST_ARGUMENTS, MOST_CALLS
from agent_runner.loop.tool_calls import MOST_CALLS as MOST_CALLS_RUN
from nanoclaw.testing import FakeModel, ModelAnswer, ModelBreak, ModelCall, ModelFailure
from nanoclaw.testing.conformance.turns import WHEN
from tests.loop.talk import PROVIDERS, answering, talking

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


async def test_what_ends_a_line_of_text_ends_no_line_of_the_stream(provider: str) -> None:
    text = "one\u2028two\u0085three\u2029four"
    async with answering(provider, ModelAnswer(text, pieces=9)) as (talk, _):
        assert await talk.say("hi") == [text]


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


@pytest.mark.parametrize("count", ["many", -5, 1.5, True, 10**30, 10**400, [1], {}])
async def test_an_answer_with_a_strange_count_of_tokens_is_taken_all_the_same(
    provider: str, count: object
) -> None:
    names = ("input_tokens", "output_tokens", "prompt_tokens", "completion_tokens", "prompt_tokens_details")
    usage = dict.fromkeys(names, count)
    events = {
        "anthropic": [
            {"type": "message_start", "message": {"usage": usage}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "hello"}},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage},
        ],
        "openai": [
            {"choices": [{"delta": {"content": "hello"}, "finish_reason": "stop"}]},
            {"choices": [], "usage": usage},
            {"choices": [], "usage": count},
        ],
    }[provider]
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events).encode()
    answer = ModelFailure(200, body=body, headers={"content-type": "text/event-stream"})
    async with answering(provider, answer) as (talk, model):
        assert await talk.say("hi") == ["hello"]
    assert len(model.requests) == 1


async def test_calls_without_end_are_not_read_to_their_end(provider: str) -> None:
    calls = [ModelCall("no such tool", {"n": n}) for n in range(MOST_CALLS + 100)]
    async with answering(provider, ModelAnswer("", calls), "sorry") as (talk, model):
        assert await talk.say("hi") == ["sorry"]
    assert json.dumps(model.requests[1].body).count("too many calls") == MOST_CALLS - MOST_CALLS_RUN


async def test_a_call_that_is_too_long_is_not_run(provider: str) -> None:
    call = ModelCall("send_message", {"text": "x" * (LONGEST_ARGUMENTS + 1)})
    async with answering(provider, ModelAnswer("", [call]), "sorry") as (talk, model):
        assert await talk.say("hi") == ["sorry"]
        assert talk.tools.calls == []
    assert "not JSON" in model.requests[1].text


async def test_a_server_that_a_gateway_gives_up_for_its_silence_is_not_asked_again_at_once(
    provider: str,
) -> None:
    async def silent(_request: object) -> ModelBreak:
        await trio.sleep(99)  # the gateway waits for as long as the runner
        return ModelBreak(kind="cut")

    model = FakeModel(silent)
    async with talking(provider, model, timeout_s=100.0) as talk:
        with pytest.raises(ProviderError):
            await talk.say("hi")
    assert len(model.requests) == 1
