"""The key of a model that is not set: each error says how a runner gets it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import pytest

from agent_runner.errors import ConfigError, ProviderError, ProviderOpenError
from agent_runner.providers import (
    Provider,
    ProviderContext,
    SimpleProvider,
    Toolbox,
    TurnHandler,
    load,
    variable,
)
from agent_runner.providers.variables import ADVICE, with_advice
from agent_runner.records import Result, Turn
from agent_runner.runner import run_runner
from tests.runner.world import Script, World, at

SDK = (
    "The api_key option must be set by passing api_key or by setting the OPENAI_API_KEY environment variable"
)


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("MISTRAL_API_KEY", "sk-1")


class Keyless(SimpleProvider):
    """A provider that reads its key when it is opened."""

    name = "keyless"

    @asynccontextmanager
    async def open(self, context: ProviderContext, /) -> AsyncIterator[TurnHandler]:
        del context
        variable("OPENAI_API_KEY")
        yield self

    async def run(self, turn: Turn, tools: Toolbox, /) -> Result:
        raise NotImplementedError


def test_a_variable_that_is_set_is_returned() -> None:
    assert variable("MISTRAL_API_KEY") == "sk-1"


async def test_a_provider_that_is_opened_without_its_key_says_how_it_gets_it(world: World) -> None:
    with pytest.raises(ProviderOpenError) as failed:
        await run_runner(world.config, world.seams(Keyless()))
    assert str(failed.value).endswith(f"cannot be opened: OPENAI_API_KEY is not set; {ADVICE}")


def make_without_key() -> Provider:
    raise KeyError("OPENAI_API_KEY")


def test_a_provider_that_cannot_be_made_without_its_key_says_how_it_gets_it() -> None:
    with pytest.raises(
        ConfigError, match=r"KeyError: 'OPENAI_API_KEY' \(OPENAI_API_KEY is not set; name it in"
    ):
        load("own", {"own": make_without_key})


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError(SDK), f"ValueError: {SDK} (OPENAI_API_KEY is not set; {ADVICE})"),
        (ProviderError(SDK), f"{SDK} (OPENAI_API_KEY is not set; {ADVICE})"),
        (ValueError("MISTRAL_API_KEY is wrong"), "ValueError: MISTRAL_API_KEY is wrong"),
        (ValueError("CERTIFICATE_VERIFY_FAILED"), "ValueError: CERTIFICATE_VERIFY_FAILED"),
    ],
)
async def test_a_turn_that_fails_without_a_key_says_how_it_gets_it(
    world: World, error: Exception, reason: str
) -> None:
    assert await released(world, error) == (at(30), reason)


async def released(world: World, error: Exception) -> tuple[object, ...]:
    """Return the time of the next try, and the reason, of a message whose turn fails like that."""

    async def act(_turn: Turn, _tools: Toolbox) -> Result:
        raise error

    async with world.running(Script(act)):
        await world.until_acked(world.put(2), status="released")
    return world.out("SELECT retry_at, error FROM processing_ack")[0]


@pytest.mark.parametrize("retry_at", ["soon", 7, datetime(2030, 1, 1)], ids=str)  # noqa: DTZ001 -- without a zone
async def test_a_time_for_the_next_try_that_is_none_is_replaced_by_the_default(
    world: World, retry_at: datetime
) -> None:
    assert await released(world, ProviderError("429", retry_at)) == (at(30), "429")


def test_the_advice_of_the_host_about_its_own_variables_stays_as_it_is() -> None:
    reason = "the environment variable MY_MODEL_KEY is not set; set it where NanoClaw is started"
    assert with_advice(reason) == reason
