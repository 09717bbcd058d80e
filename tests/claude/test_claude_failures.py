"""What goes wrong under Claude Code: the model's server, the program, the time."""

import json
import os
import signal
from datetime import timedelta

import pytest
import trio
from attrs import evolve

from agent_runner.errors import ProviderFatal
from agent_runner.providers.claude.outcomes import Outcome, as_error, classify
from nanoclaw.testing.models import ModelAnswer, ModelBreak, ModelCall, ModelFailure, ModelRequest
from tests.claude.world import SETTINGS, ClaudeWorld
from tests.runner.world import EPOCH

SEND = "mcp__nanoclaw__send_message"


def budget() -> ModelFailure:
    error = {"type": "nanoclaw_budget", "message": "the budget of today is used up"}
    return ModelFailure(402, body=json.dumps({"type": "error", "error": error}).encode())


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(ModelFailure(500), id="500"),
        pytest.param(ModelFailure(529), id="529"),
        pytest.param(ModelBreak(kind="cut", text="half an answer"), id="cut"),
        pytest.param(ModelBreak(kind="no json"), id="no JSON"),
        pytest.param(ModelBreak(kind="no events"), id="a page"),
        pytest.param(budget(), id="budget"),
    ],
)
async def test_a_server_that_fails_has_the_message_tried_again(
    world: ClaudeWorld, answer: ModelFailure
) -> None:
    id_ = world.put(2)
    async with world.behind(answer) as model, world.claude():
        await world.until_acked(id_, status="released")
    assert world.texts() == []
    assert len(model.requests) <= 4


async def test_a_server_that_wants_a_pause_gets_it(world: ClaudeWorld) -> None:
    id_ = world.put(2)
    async with world.behind(ModelFailure(429, headers={"retry-after": "600"})) as model, world.claude():
        await world.until_acked(id_, status="released")
    [(retry_at,)] = world.out("SELECT retry_at FROM processing_ack")
    [(began,)] = world.out("SELECT at FROM events WHERE kind = 'turn started'")
    assert str(retry_at) > str(began)
    assert len(model.requests) == 1


async def test_a_dead_program_has_the_message_tried_again(world: ClaudeWorld) -> None:
    asked = trio.Event()

    async def answer(_: ModelRequest) -> ModelAnswer:
        asked.set()
        await trio.sleep_forever()
        raise AssertionError

    id_ = world.put(2)
    async with world.behind(answer), world.claude():
        await asked.wait()
        for pid in world.processes:
            os.kill(pid, signal.SIGKILL)
        await world.until_acked(id_, status="released")
    [(reason,)] = world.out("SELECT error FROM processing_ack")
    assert "Claude Code" in str(reason)


async def test_an_aborted_turn_ends_within_a_second_and_leaves_no_process(world: ClaudeWorld) -> None:
    world.sandboxed = True
    started = world.root / "started"
    command = f"touch {started}; setsid sleep 600 & sleep 600"

    def answer(_: ModelRequest) -> ModelAnswer:
        return ModelAnswer("", [ModelCall("Bash", {"command": command, "description": "wait"})])

    world.put(2)
    async with world.behind(answer):
        async with world.claude():
            while not started.exists():  # noqa: ASYNC110 -- no event tells when a foreign program has begun
                await trio.sleep(0.05)
            assert world.processes
            began = trio.current_time()
        assert trio.current_time() - began < 1
    assert world.processes == []


async def test_too_many_steps_end_the_turn_with_what_there_is(world: ClaudeWorld) -> None:
    world.settings = evolve(SETTINGS, max_turn_steps=3)

    def answer(request: ModelRequest) -> ModelAnswer:
        return ModelAnswer("still at it", [ModelCall(SEND, {"text": str(len(request.messages))})])

    id_ = world.put(2)
    async with world.behind(answer) as model:
        await world.answer(id_)
    assert len(model.requests) == 3
    assert world.texts()[-1] == "still at it"


async def test_the_fallback_answers_while_the_first_is_down(world: ClaudeWorld) -> None:
    second = evolve(SETTINGS, name="second", url="http://gateway/fallback")
    world.settings = evolve(SETTINGS, fallback=second)
    async with world.behind(ModelFailure(500), "from the second") as model, world.claude():
        await world.until_acked(world.put(2, "one"))
        asked = len(model.requests)
        await world.until_acked(world.put(4, "two"))
    assert world.texts() == ["from the second", "from the second"]
    assert len(model.requests) == asked, "the first was asked again at once"


@pytest.mark.parametrize(
    ("status", "error", "text", "kind"),
    [
        (401, "authentication_failed", "Invalid API key", "key"),
        (403, "authentication_failed", "API Error: 403", "key"),
        (404, "model_not_found", "There's an issue with the selected model", "model"),
        (400, "billing_error", "Credit balance is too low", "quota"),
        (402, "unknown", "API Error: 402 no money", "quota"),
        (402, "unknown", "API Error: 402 the budget is used up", "budget"),
        (400, "unknown", "API Error: 400 messages.1: bad", "invalid"),
        (400, "unknown", "input length exceeds the context window", "too long"),
        (429, "rate_limit", "Request rejected", "down"),
        (500, "server_error", "boom", "down"),
        (None, None, "connection refused", "down"),
    ],
)
async def test_errors_have_classes(status: int | None, error: str | None, text: str, kind: str) -> None:
    assert classify(status, error, text) == kind


async def test_what_would_fail_again_is_told_to_the_user() -> None:
    error = as_error(Outcome("key", "Invalid API key"), EPOCH)
    assert isinstance(error, ProviderFatal)
    assert "config.toml" in error.for_user


async def test_what_may_pass_is_tried_again_when_the_server_says() -> None:
    error = as_error(Outcome("down", "busy", pause_s=90.0), EPOCH)
    assert not isinstance(error, ProviderFatal)
    assert error.retry_at == EPOCH + timedelta(seconds=90)
