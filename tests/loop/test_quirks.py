"""Servers of chat completions differ. What one refuses is left out from then on."""

import json

import pytest

from nanoclaw.testing import FakeModel, ModelAnswer, ModelCall, ModelFailure, ModelRequest
from nanoclaw.testing.models.answers import Reaction
from tests.loop.talk import answering, talking

REFUSALS = {
    "max_tokens": "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.",
    "stream_options": "stream_options is not known",
    "tools": "registry/smallest:1b does not support tools",
}


@pytest.mark.parametrize("refused", REFUSALS)
async def test_a_refused_parameter_is_left_out_from_then_on(refused: str) -> None:
    def serve(request: ModelRequest) -> Reaction:
        return ModelFailure(400, REFUSALS[refused]) if refused in request.body else "yes"

    model = FakeModel(serve)
    async with talking("openai", model) as talk:
        assert await talk.say("hi") == ["yes"]
        assert await talk.say("hi") == ["yes"]
    assert [refused in request.body for request in model.requests] == [True, False, False]


async def test_thoughts_before_an_answer_are_not_shown() -> None:
    thinking = ModelAnswer("<think>\nsecret plan\n</think>\n\nHello!", pieces=12, between=0.1)
    async with answering("openai", thinking) as (talk, _):
        assert await talk.say("hi") == ["Hello!"]
    assert "secret" not in json.dumps([*talk.tools.drafts, talk.state.values])


async def test_whole_calls_that_all_have_the_same_index_are_several_calls() -> None:
    calls = [
        {"index": 0, "id": f"c{n}", "function": {"name": "send_message", "arguments": f'{{"text": "{n}"}}'}}
        for n in range(2)
    ]
    chunks = [{"choices": [{"delta": {"tool_calls": [call]}}]} for call in calls]
    ends = [*chunks, {"choices": [{"delta": {}, "finish_reason": "tool_calls"}]}]
    body = b"".join(b"data: %s\n\n" % json.dumps(chunk).encode() for chunk in ends)
    async with answering("openai", ModelFailure(200, body=body), "done") as (talk, _):
        assert await talk.say("go") == ["done"]
    assert [arguments["text"] for _, arguments in talk.tools.calls] == ["0", "1"]


async def test_a_model_without_a_name_is_explained() -> None:
    async with talking("openai", FakeModel("yes"), name="") as talk:
        with pytest.raises(Exception, match="name is not set"):
            await talk.say("hi")


async def test_calls_beside_a_cut_off_answer_are_explained_to_the_model() -> None:
    cut = ModelAnswer("", [ModelCall("send_message", '{"text": "half')], stop="length")
    async with answering("openai", cut, "sorry") as (talk, model):
        assert await talk.say("go") == ["sorry"]
    assert "not JSON" in model.requests[1].text
