"""The conformance suite of a provider: it tests the protocol in `agent_runner.providers` with its own turns.

@asynccontextmanager
async def mine() -> AsyncIterator[ProviderUnderTest]:
    with fake_model() as model:
        yield ProviderUnderTest(MyProvider(model.url), unable=model.down)
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import trio
from attrs import evolve

from agent_runner.errors import ProviderError, ToolError
from agent_runner.foreign import foreign_code
from agent_runner.providers import TurnHandler
from agent_runner.records import Result, Sent, Turn
from nanoclaw.testing.conformance import kinds, lifecycle, with_model
from nanoclaw.testing.conformance.checks import Check, NotConforming, checks_of, hook, require
from nanoclaw.testing.conformance.providers import (
    OpenUnderTest,
    ProviderUnderTest,
    answers,
    opened,
    require_known,
)
from nanoclaw.testing.conformance.steps import step, step_context
from nanoclaw.testing.conformance.turns import CHAT, Tools, message, require_result, turn_of
from nanoclaw.testing.conformance.watches import CancelAfter, Sleeps, Slowness, Watched

GOES_S = 5.0
"""Seconds within which a cancelled turn must end. A runner that is stopped may be killed sooner."""
BLOCKED_S = 1.0
"""Seconds of blocking after which the host may treat a runner as dead."""
TRIES = 3
"""Seconds of a turn before it is called slow: the machine may have been busy."""


def provider_checks(open_: Callable[[], AbstractAsyncContextManager[ProviderUnderTest]]) -> Sequence[Check]:
    """Return the checks; each opens a provider of its own."""

    @asynccontextmanager
    async def open_subject() -> AsyncIterator[ProviderUnderTest]:
        async with step_context("the provider under test", open_()) as it:
            yield it

    @asynccontextmanager
    async def open_provider() -> AsyncIterator[OpenUnderTest]:
        async with open_subject() as it, opened(it) as found:
            yield found

    return [
        *checks_of(CHECKS, open_provider),
        *checks_of((*lifecycle.CHECKS, *with_model.CHECKS), open_subject),
    ]


async def _taken(it: OpenUnderTest, turn: Turn, tools: Tools | None = None) -> Result:
    """Return the result of an undisturbed turn."""
    try:
        with step("a turn", it.turn_s), foreign_code(ProviderError, ToolError, Exception):
            result = await it.handler.run(turn, tools or Tools())
    except NotConforming:
        raise
    except Exception as error:
        raise NotConforming(f"a turn that nothing hinders ended with {error!r}") from error
    return require_result(result)


# -- answering -------------------------------------------------------------------


async def it_has_a_name(it: OpenUnderTest) -> None:
    """A provider has a name, by which it is chosen."""
    name = it.provider.name
    require(isinstance(name, str) and name, f"its name is {name!r}")


async def what_is_asked_is_answered(it: OpenUnderTest) -> None:
    """A question is answered with a text."""
    result = await _taken(it, turn_of(message(1, it.question)))
    require(answers(result), f"{it.question!r} must be answered, got {result}")


async def it_takes_one_turn_after_the_other(it: OpenUnderTest) -> None:
    """A provider runs one turn after the other, and each turn answers its own messages."""
    for n in range(1, 4):
        asked = message(n, it.question)
        result = await _taken(it, turn_of(asked))
        require(answers(result), f"turn {n} was not answered: {result}")
        require_known(result, {asked.id})


async def replies_name_messages_of_their_turn(it: OpenUnderTest) -> None:
    """`in_reply_to` and `consumed` are ids of the turn's messages. Context is not answered."""
    asked = [message(n, it.question) for n in (2, 3, 4)]
    turn = evolve(turn_of(*asked), context=(message(1, "nobody asked", trigger=False),))
    require_known(await _taken(it, turn), {one.id for one in asked})


# -- follow-ups ------------------------------------------------------------------


async def no_turn_waits_for_follow_ups_for_ever(it: OpenUnderTest) -> None:
    """`follow_ups` never returns in a turn without follow-ups, so the turn must not wait for it."""
    result = await _taken(it, turn_of(message(1, it.question)), Tools(follow=None))
    require(answers(result), f"{it.question!r} must be answered, got {result}")


async def only_follow_ups_that_it_took_are_consumed(it: OpenUnderTest) -> None:
    """Only follow-ups that the turn read are consumed: a message that a result names is completed."""
    asked, follow = message(1, it.question), message(2, it.question)
    tools = Tools(follow=follow)
    result = await _taken(it, turn_of(asked), tools)
    require_known(result, {asked.id, *(one.id for one in tools.taken)})


# -- interruptions ---------------------------------------------------------------


async def it_may_be_cancelled_at_any_checkpoint(it: OpenUnderTest) -> None:
    """A cancelled turn ends at once, without an error or half an answer, and the next turn works."""
    for question in filter(None, (it.question, it.tool_question)):
        turn = turn_of(message(1, question))
        for steps in await _spread(it, turn):
            if not await _cut_short(it, turn, steps):
                break
    turn = turn_of(message(1, it.question))
    require(answers(await _taken(it, turn)), "after cancelled turns it no longer answers")


async def _spread(it: OpenUnderTest, turn: Turn) -> Sequence[int]:
    """Yield the numbers of steps after which to cancel a turn."""
    with CancelAfter(trio.CancelScope(), 0) as counter:
        await _taken(it, turn)
    return counter.worth(it.cancellations)


async def _cut_short(it: OpenUnderTest, turn: Turn, steps: int) -> bool:
    """Cancel a turn after this many steps. Return False if it ended before."""
    result: Result | None = None
    watched = Watched(_run(it.handler, turn), scope := trio.CancelScope())
    doing = f"a turn that is cancelled after {steps} steps"
    with step(doing, it.turn_s + GOES_S), scope, CancelAfter(scope, steps) as cut:
        try:
            result = await watched
        except NotConforming:
            raise
        except Exception as error:
            raise NotConforming(f"cancelled after {steps} steps it raised {error!r}") from error
    lasted = 0.0 if cut.at is None else trio.current_time() - cut.at
    require(lasted <= GOES_S, f"after a cancellation at step {steps} it continued for {lasted:g} s")
    if scope.cancelled_caught:
        return True
    require(
        not watched.told, f"told after {steps} steps to go it returned {result}: `Cancelled` is not its own"
    )
    require(result is not None and answers(result), f"cut short after {steps} steps it returned {result}")
    return False


async def _run(handler: TurnHandler, turn: Turn) -> Result:
    return await handler.run(turn, Tools())


async def others_run_meanwhile(it: OpenUnderTest) -> None:
    """Other tasks, such as the heartbeat, run during a turn: long work is awaited or runs in a thread."""
    for question in filter(None, (it.question, it.tool_question)):
        turn = turn_of(message(1, question))
        with Sleeps() as sleeps:
            await _taken(it, turn)
        require(not sleeps.seen, f"it blocks all other tasks with {', '.join(sleeps.seen)}")
        steps = [await _longest_step(it, turn)]
        while min(steps) > BLOCKED_S and len(steps) < TRIES:
            steps.append(await _longest_step(it, turn))
        require(min(steps) <= BLOCKED_S, f"it blocked all other tasks for {min(steps):.1f} s, {TRIES} times")


async def _longest_step(it: OpenUnderTest, turn: Turn) -> float:
    with Slowness() as slowness:
        await _taken(it, turn)
    return slowness.longest_s


async def a_turn_that_is_told_again_is_answered(it: OpenUnderTest) -> None:
    """A repeated turn is answered. It has the messages that the interrupted turn sent."""
    sent = Sent(3, "chat", CHAT, {"text": "on it"})
    turn = evolve(turn_of(evolve(message(1, it.question), tries=1)), already_sent=(sent,))
    require(answers(await _taken(it, turn)), "a repeated turn was not answered")


async def a_tool_that_refuses_does_not_end_the_turn(it: OpenUnderTest) -> None:
    """A `ToolError` is an answer for the agent and does not end the turn."""
    question = hook(it.tool_question, "tool_question")
    tools = Tools(refuses=True)
    await _taken(it, turn_of(message(1, question)), tools)
    require(tools.calls, f"{question!r} must call a tool, but none was called")


# -- failing ---------------------------------------------------------------------


async def when_it_cannot_answer_it_says_why(it: OpenUnderTest) -> None:
    """A turn without a model raises `ProviderError` and sends no apology: the message is retried."""
    unable = hook(it.unable, "unable")
    with unable():
        raised = await _failure(it)
    if not isinstance(raised, ProviderError):
        raise NotConforming(f"a turn without a model must raise ProviderError, got {raised!r}")
    require(raised.reason, "ProviderError has no reason")
    aware = raised.retry_at is None or raised.retry_at.tzinfo is not None
    require(aware, f"retry_at has no zone: {raised.retry_at}")


async def when_it_can_answer_again_it_does(it: OpenUnderTest) -> None:
    """After a failure the next turn is answered."""
    unable = hook(it.unable, "unable")
    with unable():
        await _failure(it)
    require(answers(await _taken(it, turn_of(message(1, it.question)))), "it no longer answers")


async def _failure(it: OpenUnderTest) -> Exception | None:
    try:
        with trio.fail_after(it.turn_s), foreign_code(ProviderError, Exception):
            await it.handler.run(turn_of(message(1, it.question)), Tools())
    except Exception as error:  # noqa: BLE001 -- the caller wants the error
        return error
    return None


CHECKS: tuple[Callable[[OpenUnderTest], Awaitable[None]], ...] = (
    it_has_a_name,
    what_is_asked_is_answered,
    it_takes_one_turn_after_the_other,
    replies_name_messages_of_their_turn,
    no_turn_waits_for_follow_ups_for_ever,
    only_follow_ups_that_it_took_are_consumed,
    it_may_be_cancelled_at_any_checkpoint,
    others_run_meanwhile,
    a_turn_that_is_told_again_is_answered,
    a_tool_that_refuses_does_not_end_the_turn,
    when_it_cannot_answer_it_says_why,
    when_it_can_answer_again_it_does,
    *kinds.CHECKS,
)
