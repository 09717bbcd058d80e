"""Simulated runners reach scripted models through the real gateway, in virtual time and without threads."""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import cast

import httpx2
import trio
from attrs import evolve, frozen

from agent_runner.providers import ProviderContext, Toolbox, TurnHandler
from agent_runner.records import Reply, Result, Turn
from nanoclaw.host import Seams
from nanoclaw.testing import World, simulate
from nanoclaw.testing.models import FakeModel, ModelBreak, ModelRequest

SETTINGS = {"model": {"provider": "asking", "base_url": "http://model/v1", "name": "m", "timeout_s": 60}}


@frozen
class Asking:
    """Asks the model by hand, and tells what came."""

    context: ProviderContext
    http: httpx2.AsyncClient

    async def run(self, _turn: Turn, _tools: Toolbox) -> Result:
        body = {"model": self.context.model.name, "messages": [{"role": "user", "content": "hi"}]}
        try:
            response = await self.http.post(f"{self.context.model.url}/chat/completions", json=body)
        except httpx2.TransportError as error:
            return Result(replies=(Reply(text=type(error).__name__),))
        found = json.loads(response.content)
        text = found["choices"][0]["message"]["content"] if "choices" in found else found["error"]["type"]
        return Result(replies=(Reply(text=str(text)),))


class AskingProvider:
    name = "asking"

    @asynccontextmanager
    async def open(self, context: ProviderContext) -> AsyncGenerator[TurnHandler]:
        async with context.http.open() as http:
            yield Asking(context, cast("httpx2.AsyncClient", http))


def play(scenario: Callable[[World], Awaitable[None]], model: FakeModel | None) -> None:
    """Play a scenario with this model behind the gateway."""

    def seams(usual: Seams) -> Seams:
        return usual if model is None else evolve(usual, models=model)

    simulate(scenario, seed=1, settings=SETTINGS, providers={"asking": AskingProvider}, seams=seams)


def hears(model: FakeModel | None, text: str) -> None:
    async def scenario(world: World) -> None:
        ann = world.user("ann")
        chat = await world.direct(ann, world.agent("main", "asking"))
        await ann.says("hello")
        await chat.expect(text)

    play(scenario, model)


def test_a_simulated_runner_is_answered_by_a_scripted_model() -> None:
    model = FakeModel("good morning")
    hears(model, "good morning")
    [request] = model.requests
    assert (request.model, request.path) == ("m", "/v1/chat/completions")


def test_a_silent_model_is_given_up_in_virtual_time() -> None:
    async def slow(_request: ModelRequest) -> str:
        await trio.sleep(3600)
        return "too late"

    hears(FakeModel(slow), "nanoclaw_timeout")


def test_an_answer_that_is_cut_is_cut_for_a_simulated_runner() -> None:
    hears(FakeModel(ModelBreak(kind="cut", text="good")), "RemoteProtocolError")


def test_a_world_without_models_says_so() -> None:
    hears(None, "nanoclaw_upstream")


def test_a_model_is_asked_again_after_its_runner_was_killed() -> None:
    asked = trio.Event()

    async def first_hangs(_request: ModelRequest) -> str:
        if asked.is_set():
            return "here I am"
        asked.set()
        await trio.sleep(10**9)
        return ""

    async def scenario(world: World) -> None:
        ann = world.user("ann")
        chat = await world.direct(ann, world.agent("main", "asking"))
        await ann.says("hello")
        await asked.wait()
        world.kill_runner()
        await chat.expect("here I am")

    play(scenario, FakeModel(first_hangs))
