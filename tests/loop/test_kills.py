"""A runner may die anywhere in a tool loop. What it has sent is not sent again, and its answer comes once."""

from pathlib import Path
from typing import Literal

import pytest
import trio
from attrs import evolve

from agent_runner.loop.history import read_history
from agent_runner.providers import ModelSettings, load
from agent_runner.runner import run_runner
from nanoclaw.testing import FakeModel, ModelAnswer, ModelCall, ModelRequest
from tests.loop.talk import PROVIDERS
from tests.runner.world import Killed, World

When = Literal["before", "after"]
POINTS = [(n, when) for n in range(1, 16) for when in ("before", "after")]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World.create(tmp_path / "session")


def act(request: ModelRequest) -> ModelAnswer:
    """Send two messages, one after the other, and then answer. It does the same in a repeated turn."""
    answers = sum(message.get("role") == "assistant" for message in request.messages)
    calls = [ModelCall("send_message", {"text": text}) for text in ("one", "two")]
    return ModelAnswer("", calls[answers : answers + 1]) if answers < len(calls) else ModelAnswer("done")


async def live(world: World, provider: str, *until: str) -> None:
    """Run a runner until these messages are completed, or until it is killed."""
    model = FakeModel(act)
    config = evolve(world.config, model=ModelSettings(provider=provider, name="fake-model"))
    seams = evolve(world.seams(load(provider)), http=model)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_runner, config, seams)
        with trio.fail_after(10_000):
            await world.until_acked(*until)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(("commit", "when"), POINTS)
async def test_after_a_death_at_any_commit_of_a_tool_loop_each_text_is_sent_once(
    world: World, provider: str, commit: int, when: When
) -> None:
    def kill(n: int, now: str) -> None:
        if (n, now) == (commit, when):
            raise Killed

    message = world.put(2, "go")
    world.executor.on_commit = kill
    try:
        await live(world, provider, message)
    except* Killed:
        world.executor.on_commit = None
        world.settle()
        if world.acks().get(message) != "completed":
            await live(world, provider, message)
    assert sorted(world.texts()) == ["done", "one", "two"]
    state = {str(key): str(value) for key, value in world.out("SELECT key, value FROM session_state")}
    [turn] = read_history(state).turns
    assert "done" in str(turn.messages[-1])
