"""No answer of a model's server crashes a runner: a turn has a result, or says why there is none."""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from agent_runner.errors import ProviderError
from agent_runner.records import Result
from nanoclaw.testing import FakeModel, ModelAnswer, ModelCall, ModelFailure
from nanoclaw.testing.conformance.turns import message, turn_of
from tests.loop.talk import PROVIDERS, talking

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
CALLS = st.builds(
    ModelCall,
    st.sampled_from(["send_message", "x", ""]),
    st.text(max_size=30) | st.dictionaries(st.text(), JSON),
)
TEXTS = st.text(max_size=60) | st.sampled_from(
    ["<internal>", '<message to="x">', "</message><internal>", "\ud800"]
)
ANSWERS = st.lists(
    st.builds(ModelAnswer, TEXTS, st.lists(CALLS, max_size=3))
    | st.builds(ModelFailure, st.sampled_from([400, 401, 404, 413, 429, 500]), TEXTS)
    | st.builds(
        ModelFailure,
        st.sampled_from([200, 400, 500]),
        body=st.binary(max_size=80) | JSON.map(lambda v: repr(v).encode()),
    ),
    max_size=5,
)
EVENTS: Mapping[str, st.SearchStrategy[Any]] = {
    "anthropic": st.fixed_dictionaries(
        {
            "type": st.sampled_from(
                ["message_start", "content_block_start", "content_block_delta", "message_delta"]
            )
        },
        optional=dict.fromkeys(("message", "content_block", "delta", "usage", "index", "error"), JSON),
    ),
    "openai": st.fixed_dictionaries(
        {}, optional={name: JSON | st.lists(JSON) for name in ("choices", "usage", "error")}
    ),
}


async def played(provider: str, model: FakeModel) -> None:
    async with talking(provider, model, max_turn_steps=4) as talk:
        for n in (1, 2):
            with suppress(ProviderError):
                assert isinstance(await talk.result(turn_of(message(n, "hi"))), Result)


def run(provider: str, model: FakeModel) -> None:
    trio.run(played, provider, model, clock=MockClock(autojump_threshold=0))
    assert len(model.requests) <= 2 * (4 + 10)


@pytest.mark.parametrize("provider", PROVIDERS)
@given(answers=ANSWERS)
@settings(max_examples=40, deadline=None)
def test_any_answers_end_in_a_result_or_a_reason(provider: str, answers: list[Any]) -> None:
    run(provider, FakeModel(answers))


@pytest.mark.parametrize("provider", PROVIDERS)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_any_events_of_a_stream_end_in_a_result_or_a_reason(provider: str, data: st.DataObject) -> None:
    events = data.draw(st.lists(EVENTS[provider] | JSON, max_size=6))
    body = b"".join(b"data: %s\n\n" % json.dumps(event).encode() for event in events)
    run(provider, FakeModel(ModelFailure(200, body=body, headers={"content-type": "text/event-stream"})))
