"""ask_user_question: a card with buttons during a turn, and the turn that gets the answer."""

import json

from agent_runner.providers import Toolbox
from agent_runner.records import Result, Turn
from tests.runner.world import Listener, Row, Script, World, at

QUESTION = {"title": "Deploy", "question": "Ship it?", "options": ["Yes", "No"]}
CALL = f"!ask_user_question {json.dumps({**QUESTION, 'timeout_s': 50})}"


def cards(world: World) -> list[Row]:
    """Return the questions that were sent: address and content."""
    query = (
        "SELECT id, platform_id, content FROM messages_out WHERE content LIKE '%ask_question%' ORDER BY seq"
    )
    return [(id_, chat, json.loads(str(content))) for id_, chat, content in world.out(query)]


def choose(world: World, card: str, option: str, seq: int = 4) -> str:
    """Store a click's answer as the host does. Return its id."""
    content = {"type": "question_response", "questionId": card, "selectedOption": option, "userId": "tg:1"}
    insert = "INSERT INTO messages_in (id, seq, kind, timestamp, content) VALUES (?, ?, 'system', ?, ?)"
    world.host(insert, f"answer-{card}", seq, at(0), json.dumps(content))
    return f"answer-{card}"


async def test_a_question_goes_to_the_chat_and_its_answer_to_the_turn(world: World) -> None:
    message = world.put(2, CALL, platform_id="chat-5")
    async with world.running(Listener()):
        await world.until(lambda: cards(world))
        ((id_, chat, content),) = cards(world)
        answer = choose(world, str(id_), "Yes")
        await world.until_acked(message, answer)
    assert chat == "chat-5"
    assert content == {"type": "ask_question", "questionId": id_, **QUESTION}
    assert world.texts()[-1] == "Yes"


async def test_while_it_waits_it_declares_its_patience(world: World) -> None:
    world.put(2, CALL)
    async with world.running(Listener()):
        await world.until(lambda: cards(world))
        shown = world.out("SELECT current_tool, tool_declared_timeout_ms FROM container_state")
    assert shown == [("ask_user_question", 110_000)]


async def test_an_answer_after_its_time_is_a_message_of_a_later_turn(world: World) -> None:
    message, heard = world.put(2, CALL), Listener()
    async with world.running(heard):
        await world.until_acked(message)
        assert world.texts()[-1].startswith("no answer yet: nobody has chosen within 50 s.")
        ((id_, _, _),) = cards(world)
        await world.until_acked(choose(world, str(id_), "No"))
    assert world.texts()[-1] == "echo: No"
    told = heard.turns[-1].messages[0].content
    assert (told["title"], told["question"]) == ("Deploy", "Ship it?")


async def test_a_message_in_the_chat_of_the_question_ends_the_wait(world: World) -> None:
    message = world.put(2, CALL, platform_id="chat-5")
    async with world.running(Listener()):
        await world.until(lambda: cards(world))
        world.put(4, "what about neither?", platform_id="chat-6")
        world.put(6, "neither", platform_id="chat-5")
        await world.until_acked(message)
    assert any(text.startswith("no answer yet: somebody wrote a message instead.") for text in world.texts())


async def test_a_question_that_could_not_be_delivered_is_not_waited_for(world: World) -> None:
    message = world.put(2, CALL)
    async with world.running(Listener()):
        await world.until(lambda: cards(world))
        ((id_, _, _),) = cards(world)
        world.deliver(id_, None, "failed")
        await world.until_acked(message)
    assert world.texts()[-1] == "the question could not be delivered, so no user has seen it"


async def test_a_repeated_turn_continues_to_wait_for_its_question(world: World) -> None:
    message = world.put(2, CALL)
    async with world.running(Listener()):
        await world.until(lambda: cards(world))
    world.settle()
    ((id_, _, _),) = cards(world)
    async with world.running(Listener()):
        await world.until(lambda: world.out("SELECT * FROM container_state"))
        choose(world, str(id_), "Yes")
        await world.until_acked(message)
    assert len(cards(world)) == 1
    assert world.texts()[-1] == "Yes"


async def test_a_repeated_turn_gets_the_same_answer_again(world: World) -> None:
    message = world.put(2, CALL)
    async with world.running(Listener()):
        await world.until(lambda: cards(world))
    world.settle()
    ((id_, _, _),) = cards(world)
    answer = choose(world, str(id_), "Yes")
    world.host("UPDATE messages_in SET status = 'completed' WHERE id = ?", answer)
    await world.serve(Listener(), message)
    assert world.texts()[-1] == "Yes"


async def test_the_same_question_may_be_asked_twice_in_a_turn_also_when_that_is_repeated(
    world: World,
) -> None:
    arguments = {"title": "a", "question": "b", "options": ["c"], "timeout_s": 60}
    chosen: list[str] = []

    async def act(_turn: Turn, tools: Toolbox) -> Result:
        chosen.extend([await tools.call("ask_user_question", arguments) for _ in range(2)])
        return Result()

    message = world.put(2)
    async with world.running(Script(act)):
        await world.until(lambda: cards(world))
        choose(world, str(cards(world)[0][0]), "first")
        await world.until(lambda: len(cards(world)) == 2)
    world.settle()
    chosen.clear()
    async with world.running(Script(act)):
        choose(world, str(cards(world)[1][0]), "second", 6)
        await world.until_acked(message)
    assert chosen == ["first", "second"]
    assert len(cards(world)) == 2


async def test_the_card_says_who_may_answer_how_and_until_when(world: World) -> None:
    arguments = {
        **QUESTION,
        "who": "asker",
        "multiple": True,
        "free_text": True,
        "expires_s": 3600,
        "timeout_s": 1,
    }
    call = f"!ask_user_question {json.dumps(arguments)}"
    message = world.put(2, call, platform_id="chat-5")
    await world.serve(Listener(), message)
    ((id_, _, content),) = cards(world)
    assert content == {
        "type": "ask_question",
        **QUESTION,
        "multiple": True,
        "freeText": True,
        "expiresS": 3600,
        "who": "asker",
        "asker": "tg:1",
        "questionId": id_,
    }


async def test_several_options_are_more_narrowly_limited(world: World) -> None:
    many = {**QUESTION, "multiple": True, "options": [str(n) for n in range(25)]}
    message = world.put(2, f"!ask_user_question {json.dumps(many)}")
    await world.serve(Listener(), message)
    assert world.texts()[-1] == "with multiple, there are at most 24 options of 98 characters"
    assert cards(world) == []
