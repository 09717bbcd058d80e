"""Our providers with a model conform to their protocol, against a fake model in the same process."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest
from attrs import define

from agent_runner.providers import load
from nanoclaw.testing import FakeModel, ModelAnswer, ModelCall, ModelFailure, ModelRequest
from nanoclaw.testing.conformance import ProviderUnderTest, lifecycle, provider_checks, with_model
from nanoclaw.testing.conformance.provider import CHECKS

NAMES = [check.__name__ for check in (*CHECKS, *lifecycle.CHECKS, *with_model.CHECKS)]
TOOL_QUESTION = "please use a tool"


@define(eq=False)
class Brain:
    """Calls a tool where it is asked to, and answers all else with a text."""

    failure: ModelFailure | None = None

    def __call__(self, request: ModelRequest) -> ModelAnswer | ModelFailure:
        if self.failure is not None:
            return self.failure
        if TOOL_QUESTION in request.text:
            return ModelAnswer("let me see", [ModelCall("send_message", {"text": "wait"})])
        return ModelAnswer("yes")

    @contextmanager
    def failing(self, failure: ModelFailure) -> Iterator[None]:
        self.failure = failure
        try:
            yield
        finally:
            self.failure = None


@pytest.mark.parametrize("provider", ["anthropic", "openai"])
@pytest.mark.parametrize("name", NAMES)
async def test_a_provider_with_a_model_conforms(provider: str, name: str) -> None:
    @asynccontextmanager
    async def opens() -> AsyncIterator[ProviderUnderTest]:
        brain = Brain()
        model = FakeModel(brain)
        yield ProviderUnderTest(
            load(provider),
            tool_question=TOOL_QUESTION,
            unable=lambda: brain.failing(ModelFailure(503)),
            refused=lambda: brain.failing(ModelFailure(401)),
            busy=lambda wait: brain.failing(ModelFailure(429, headers={"retry-after": f"{wait:g}"})),
            heard=lambda: json.dumps(model.requests[-1].body),
            offered=lambda: model.requests[-1].tools,
            http=model,
            model_settings={"provider": provider, "name": "fake-model"},
        )

    [check] = [one for one in provider_checks(opens) if one.name == name]
    await check()
