"""Providers that each handle turns wrongly, and the check that finds each."""

import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime

import trio

from agent_runner.errors import ProviderError
from agent_runner.providers import Toolbox
from agent_runner.records import Inbound, Reply, Result, Turn

Run = Callable[[Turn, Toolbox], Awaitable[Result]]
CALL = '!send_message {"text": "x"}'


async def silent(_turn: Turn, _tools: Toolbox) -> Result:
    return Result()


async def answers_context(turn: Turn, _tools: Toolbox) -> Result:
    return Result(tuple(Reply("yes", one.id) for one in (*turn.messages, *turn.context)))


async def answers_the_first(_turn: Turn, _tools: Toolbox) -> Result:
    return Result((Reply("yes", "in-1"),))


async def waits_for_follow_ups(turn: Turn, tools: Toolbox) -> Result:
    await tools.follow_ups()
    return Result((Reply("yes", turn.messages[0].id),))


async def consumes_what_it_never_took(_turn: Turn, _tools: Toolbox) -> Result:
    return Result((Reply("yes"),), ("in-2",))


async def swallows_cancellation(turn: Turn, _tools: Toolbox) -> Result:
    try:
        await trio.sleep(1)
    except trio.Cancelled:
        return Result()
    return Result((Reply("yes", turn.messages[0].id),))


async def has_no_second_try(turn: Turn, _tools: Toolbox) -> Result:
    return Result((Reply("yes"),)) if turn.messages[0].tries == 0 else Result()


async def passes_tool_errors_on(_turn: Turn, tools: Toolbox) -> Result:
    await tools.call("send_message", {"text": "x"})
    return Result((Reply("yes"),))


async def knows_no_zone(_turn: Turn, _tools: Toolbox) -> Result:
    raise ProviderError("busy", datetime(2026, 1, 1))  # noqa: DTZ001 -- that is what is wrong


def yes(turn: Turn) -> Result:
    return Result(tuple(Reply("yes", one.id) for one in turn.messages))


async def shields(turn: Turn, _tools: Toolbox) -> Result:
    with trio.CancelScope(shield=True):
        await trio.sleep(9)
    await trio.lowlevel.checkpoint()
    return yes(turn)


async def takes_cancellation_for_a_refusal(turn: Turn, tools: Toolbox) -> Result:
    if CALL in str(turn.messages[0].content):
        with suppress(BaseException):
            await tools.call("send_message", {"text": "x"})
    return yes(turn)


async def sleeps(turn: Turn, _tools: Toolbox) -> Result:
    time.sleep(0)  # noqa: ASYNC251 -- that is what is wrong
    await trio.lowlevel.checkpoint()
    return yes(turn)


async def knows_chats_only(turn: Turn, _tools: Toolbox) -> Result:
    return Result(tuple(Reply(str(one.content["text"]), one.id) for one in turn.messages))


async def names_its_sender(turn: Turn, _tools: Toolbox) -> Result:
    [one] = turn.messages
    return Result((Reply(f"{one.content['sender'] if 'text' in one.content else 'Task'}, yes", one.id),))


async def knows_no_webhooks(turn: Turn, _tools: Toolbox) -> Result:
    assert all(one.kind != "webhook" for one in turn.messages)
    return yes(turn)


async def knows_no_news_in_context(turn: Turn, _tools: Toolbox) -> Result:
    return yes(turn) if knows(turn.context) else Result()


def knows(messages: tuple[Inbound, ...]) -> bool:
    return all(one.content["action"] for one in messages if one.kind == "system")


async def has_a_limit(turn: Turn, _tools: Toolbox) -> Result:
    if len(str(turn.messages[0].content)) > 32_000:
        raise ValueError("413 context length exceeded")
    return yes(turn)


FAULTS: list[tuple[str, Run]] = [
    ("it_may_be_cancelled_at_any_checkpoint", shields),
    ("it_may_be_cancelled_at_any_checkpoint", takes_cancellation_for_a_refusal),
    ("others_run_meanwhile", sleeps),
    ("tasks_are_done", knows_chats_only),
    ("what_is_said_in_other_words_is_answered", names_its_sender),
    ("every_kind_of_message_is_taken", knows_no_webhooks),
    ("every_kind_of_message_is_taken", knows_no_news_in_context),
    ("any_text_is_taken", has_a_limit),
    ("what_is_asked_is_answered", silent),
    ("it_takes_one_turn_after_the_other", answers_the_first),
    ("replies_name_messages_of_their_turn", answers_context),
    ("no_turn_waits_for_follow_ups_for_ever", waits_for_follow_ups),
    ("only_follow_ups_that_it_took_are_consumed", consumes_what_it_never_took),
    ("it_may_be_cancelled_at_any_checkpoint", swallows_cancellation),
    ("a_turn_that_is_told_again_is_answered", has_no_second_try),
    ("a_tool_that_refuses_does_not_end_the_turn", passes_tool_errors_on),
    ("when_it_cannot_answer_it_says_why", knows_no_zone),
    ("when_it_can_answer_again_it_does", knows_no_zone),
]
