"""While the first model is down, the fallback answers."""

import pytest
import trio

from agent_runner.errors import ProviderError, ProviderFatal
from nanoclaw.testing import FakeModel, ModelAnswer, ModelBreak, ModelFailure, ModelRequest
from nanoclaw.testing.models.answers import Reaction
from tests.loop.talk import talking

FALLBACK = {"provider": "anthropic", "name": "second", "url": "http://gateway/fallback"}
DOWN = [
    ModelFailure(503),
    ModelFailure(429, headers={"retry-after": "600"}),
    ModelFailure(402),
    ModelBreak(kind="cut", text="half"),
    ModelBreak(kind="silent"),
]


def both(first: Reaction, second: Reaction = "from the second") -> FakeModel:
    """Return a model that answers for both."""
    return FakeModel(lambda request: second if request.path.startswith("/fallback") else first)


@pytest.mark.parametrize("failure", DOWN, ids=str)
async def test_the_fallback_answers_while_the_first_is_down(failure: ModelFailure | ModelBreak) -> None:
    model = both(failure)
    async with talking("openai", model, fallback=FALLBACK) as talk:
        assert await talk.say("hi") == ["from the second"]
        asked = len(model.requests)
        assert await talk.say("hi again") == ["from the second"]
    assert len(model.requests) == asked + 1  # the first is not asked again at once
    assert "fallback answers" in str(talk.recorded("error"))
    assert talk.recorded("usage")[-1]["model"] == "second"


async def test_the_first_is_tried_again_after_a_minute_and_its_conversation_continues() -> None:
    model = both(ModelFailure(503))
    async with talking("openai", model, fallback=FALLBACK) as talk:
        await talk.say("first words")
        model.answers = "from the first"
        await trio.sleep(61)
        assert await talk.say("second words") == ["from the first"]
    assert "from the second" in str(model.requests[-1].messages)


async def test_a_wrong_key_is_told_instead_of_hidden_by_the_fallback() -> None:
    async with talking("openai", both(ModelFailure(401)), fallback=FALLBACK) as talk:
        with pytest.raises(ProviderFatal):
            await talk.say("hi")


async def test_if_both_are_down_the_turn_is_tried_again_later() -> None:
    model = both(ModelFailure(503), ModelFailure(529))
    async with talking("openai", model, fallback=FALLBACK) as talk:
        with pytest.raises(ProviderError) as caught:
            await talk.say("hi")
    assert not isinstance(caught.value, ProviderFatal)
    assert len(model.requests) == 6


async def test_a_fallback_that_is_no_model_is_refused() -> None:
    with pytest.raises(ProviderError, match="cannot be one"):
        async with talking("openai", both("yes"), fallback={"provider": "echo"}):
            pass


async def test_requests_are_bounded_whatever_happens() -> None:
    def flaky(_request: ModelRequest) -> Reaction:
        return ModelFailure(500) if len(model.requests) % 3 else ModelAnswer("", [])

    model = FakeModel(flaky)
    async with talking("openai", model, max_turn_steps=2) as talk:
        for _ in range(5):
            await talk.say("hi")
    assert len(model.requests) < 5 * (2 + 10)
