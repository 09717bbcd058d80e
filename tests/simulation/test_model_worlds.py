"""Worlds with a fake model: the real agent loop asks it through the real gateway."""

import pytest

from nanoclaw.simulation.model_conversation import read_conversation
from nanoclaw.testing import FakeModel, ModelAnswer, ModelCall, ModelFailure, ModelRequest, World, WorldError

SENDS = ModelAnswer(calls=[ModelCall("send_message", {"text": "let me see"})])
BUSY = ModelFailure(429, headers={"retry-after": "3"})


@pytest.mark.world(model=[SENDS, "it is 42"])
async def test_an_agent_without_a_brain_asks_the_model_of_its_world(world: World) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann)
    await ann.says("why?")
    await chat.expect("let me see")
    await chat.expect("it is 42")


@pytest.mark.world(model=[BUSY, "here I am"])
async def test_a_model_that_is_busy_is_asked_again(world: World) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann)
    await ann.says("hello")
    await chat.expect("here I am", within=10)


@pytest.mark.world(model=ModelAnswer("at last", before=20.0), outliving=True)
async def test_a_killed_host_breaks_an_answer_and_its_successor_passes_on_another(world: World) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann)
    await ann.says("hello")
    await world.sleep(5)
    await world.kill_host()
    await world.start()
    await chat.expect_nothing(within=20)
    await chat.expect("at last", within=30)


def book(request: ModelRequest) -> ModelAnswer:
    """Note the message from blue, and think about it for a minute if that was not done before."""
    if request.has_results:
        again = "before the turn was interrupted" in request.text
        return ModelAnswer("done", before=0.0 if again else 60.0)
    if "please" not in request.text:
        return ModelAnswer("hi")
    arguments = {"prompt": "buy milk", "process_after": "2026-03-01T10:00"}
    return ModelAnswer(calls=[ModelCall("schedule_task", arguments), *SENDS.calls])


@pytest.mark.world(model=book)
async def test_a_retry_in_another_chat_does_not_repeat_what_its_turn_has_done(world: World) -> None:
    ann, agent = world.user("ann"), world.agent()
    red, blue = world.group("red", [ann]), world.group("blue", [ann])
    for chat in (red, blue):
        await world.wire(chat, agent, session_mode="agent-shared")
    await ann.says("hello", in_=red)
    await ann.says("please", in_=blue)
    await world.sleep(30)  # the turn has both messages and writes to red, but blue's is tried again alone
    world.kill_runner()
    await blue.expect("done")
    sent = [each.text for chat in (red, blue) for each in chat.transcript if each.who == "agent"]
    assert sorted(sent) == ["done", "hi", "let me see"]


asked: list[str] = []


def note(request: ModelRequest) -> str:
    """Read the request as the scripted model of workloads does."""
    asked.extend(message.name for message in read_conversation(request.body).messages)
    return "yes"


@pytest.mark.world(model=note)
async def test_the_scripted_model_can_read_the_prompts_of_the_runner(world: World) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann)
    await ann.says("#1 <b>send</b>")
    await chat.expect("yes")
    assert asked == ["#1"]


def test_a_real_world_takes_no_model() -> None:
    with pytest.raises(WorldError, match="model"):
        World(real=True, model=FakeModel("hello"))._in_real_time()
