"""What goes wrong under Claude Code: the model's server, the program, the time."""

import json
import os
import signal

import pytest
import trio
from attrs import evolve

from agent_runner.loop.errors import Problem
from agent_runner.providers.claude.outcomes import failed
from nanoclaw.testing.models import ModelAnswer, ModelBreak, ModelCall, ModelFailure, ModelRequest
from tests.claude.world import SETTINGS, ClaudeWorld

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360f8cfc0"
    "f01f0005000101ff1a8e4b2c0000000049454e44ae426082"
)
SEND = "mcp__nanoclaw__send_message"


def budget() -> ModelFailure:
    error = {"type": "nanoclaw_budget", "message": "the budget for today is used up"}
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
        await world.run(id_)
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
    ("status", "word", "text", "problem"),
    [
        (401, "authentication_failed", "Invalid API key · Fix external API key", Problem.FATAL),
        (403, "authentication_failed", "Failed to authenticate. API Error: 403 no", Problem.FATAL),
        (404, "model_not_found", "There's an issue with the selected model (m).", Problem.FATAL),
        (400, "billing_error", "Credit balance is too low", Problem.QUOTA),
        (402, "unknown", "API Error: 402 insufficient credits", Problem.QUOTA),
        (402, "unknown", "API Error: 402 the budget for today is used up", Problem.BUDGET),
        (503, "server_error", "API Error: 503 The key cannot be read. This is a server-side", Problem.FATAL),
        (400, "unknown", "API Error: 400 messages.1: `tool_use` ids were found", Problem.HISTORY),
        (400, "unknown", "API Error: 400 input exceeds the maximum context length", Problem.TOO_LONG),
        (429, "rate_limit", "API Error: Request rejected (429) · slow down", Problem.RETRY),
        (500, "server_error", "API Error: 500 boom. This is a server-side issue", Problem.RETRY),
        (None, None, "API Error: Unable to connect to API (ConnectionRefused)", Problem.RETRY),
    ],
)
async def test_errors_are_those_of_the_agent_loop(
    status: int | None, word: str | None, text: str, problem: Problem
) -> None:
    error = failed(status, word, text).error
    assert error is not None
    assert error.problem is problem


async def test_a_wrong_key_is_told_to_the_user_once(world: ClaudeWorld) -> None:
    id_ = world.put(2)
    async with world.behind(ModelFailure(401)):
        await world.run(id_)
    assert len(world.texts()) == 1
    assert "[model] key" in world.texts()[0]


async def test_a_picture_that_the_model_refuses_is_left_out(world: ClaudeWorld) -> None:
    picture = world.root / "inbound" / "inbox" / "in-2" / "cat.png"
    picture.parent.mkdir(parents=True)
    picture.write_bytes(PNG)
    attached = [{"name": "cat.png", "localPath": "in/inbox/in-2/cat.png"}]
    content = {"id": "p2", "text": "look", "sender": "Ann", "senderId": "tg:1", "attachments": attached}

    def answer(request: ModelRequest) -> ModelAnswer | ModelFailure:
        shows = "image/png" in json.dumps(request.body["messages"]) and '"image"' in json.dumps(request.body)
        return ModelFailure(400, kind="no pictures") if shows else ModelAnswer("I cannot see it")

    id_ = world.put(2, content=json.dumps(content))
    async with world.behind(answer) as model:
        await world.run(id_)
    assert world.texts() == ["I cannot see it"]
    assert '"image"' in json.dumps(model.requests[0].body["messages"])


async def test_stop_ends_the_turn_and_the_program_within_a_second(world: ClaudeWorld) -> None:
    asked = trio.Event()

    async def answer(_: ModelRequest) -> ModelAnswer:
        asked.set()
        await trio.sleep_forever()
        raise AssertionError

    id_ = world.put(2, "write a book")
    async with world.behind(answer), world.claude():
        await asked.wait()
        began = trio.current_time()
        stop = world.put(4, "/stop")
        await world.until_acked(id_, stop)
        assert trio.current_time() - began < 1
        assert world.processes == []
    assert world.texts() == ["Stopped."]
