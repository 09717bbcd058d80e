"""Our own providers conform to their protocol; each check of the suite fails where something is broken."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from datetime import datetime

import pytest
import trio
from attrs import define

from agent_runner.errors import ProviderError
from agent_runner.providers import Toolbox, load
from agent_runner.records import Reply, Result, Turn
from nanoclaw.testing.brains import calls, provider_of, says, thinks
from nanoclaw.testing.conformance import NotConforming, ProviderUnderTest, provider_checks
from nanoclaw.testing.conformance.provider import CHECKS

NAMES = [check.__name__ for check in CHECKS]
Opens = Callable[[], AbstractAsyncContextManager[ProviderUnderTest]]
Run = Callable[[Turn, Toolbox], Awaitable[Result]]
CALL = '!send_message {"text": "x"}'


async def check(name: str, opens: Opens) -> str | None:
    [found] = [one for one in provider_checks(opens) if one.name == name]
    return await found()


@asynccontextmanager
async def echo() -> AsyncIterator[ProviderUnderTest]:
    yield ProviderUnderTest(load("echo"), tool_question=CALL)


@asynccontextmanager
async def scripted() -> AsyncIterator[ProviderUnderTest]:
    """A brain of steps: every turn is the same three."""
    steps = [calls("send_message", text="wait"), thinks(1), says("{text}!")]

    async def brain(turn: Turn, tools: Toolbox) -> str:
        return "".join([await step(turn, tools) or "" for step in steps])

    yield ProviderUnderTest(provider_of("scripted", brain)())


@define(eq=False)
class Model:
    """A provider that knows how to do everything right; `run` may be replaced."""

    act: Run | None = None
    name: str = "model"
    up: bool = True

    async def run(self, turn: Turn, tools: Toolbox) -> Result:
        return await (self.act or self.right)(turn, tools)

    async def right(self, turn: Turn, tools: Toolbox) -> Result:
        """Call a tool, look for follow-ups, answer everything."""
        await trio.lowlevel.checkpoint()
        if not self.up:
            raise ProviderError("the model is out of reach")
        with trio.move_on_after(1):
            turn_messages = (*turn.messages, *await tools.follow_ups())
            return Result(tuple(Reply("yes", one.id) for one in turn_messages))
        return Result(tuple(Reply("yes", one.id) for one in turn.messages))

    @contextmanager
    def down(self) -> Iterator[None]:
        self.up = False
        try:
            yield
        finally:
            self.up = True


@asynccontextmanager
async def model() -> AsyncIterator[ProviderUnderTest]:
    made = Model()
    yield ProviderUnderTest(made, unable=made.down)


@pytest.mark.parametrize("opens", [echo, scripted, model])
@pytest.mark.parametrize("name", NAMES)
async def test_our_providers_conform(name: str, opens: Opens, autojump_clock: trio.testing.MockClock) -> None:
    del autojump_clock
    await check(name, opens)


# -- every check is seen to fail -------------------------------------------------


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


async def makes_an_error_of_cancellation(turn: Turn, _tools: Toolbox) -> Result:
    try:
        await trio.sleep(1)
    except trio.Cancelled as error:
        raise ProviderError("cancelled") from error
    return Result((Reply("yes", turn.messages[0].id),))


async def has_no_second_try(turn: Turn, _tools: Toolbox) -> Result:
    return Result((Reply("yes"),)) if turn.messages[0].tries == 0 else Result()


async def passes_tool_errors_on(_turn: Turn, tools: Toolbox) -> Result:
    await tools.call("send_message", {"text": "x"})
    return Result((Reply("yes"),))


async def apologizes(_turn: Turn, _tools: Toolbox) -> Result:
    return Result((Reply("I am sorry, try again later"),))


async def knows_no_zone(_turn: Turn, _tools: Toolbox) -> Result:
    raise ProviderError("busy", datetime(2026, 1, 1))  # noqa: DTZ001 -- that is what is wrong


FAULTS: list[tuple[str, Run]] = [
    ("what_is_asked_is_answered", silent),
    ("it_takes_one_turn_after_the_other", answers_the_first),
    ("replies_name_messages_of_their_turn", answers_context),
    ("no_turn_waits_for_follow_ups_for_ever", waits_for_follow_ups),
    ("only_follow_ups_that_it_took_are_consumed", consumes_what_it_never_took),
    ("it_may_be_cancelled_at_any_checkpoint", swallows_cancellation),
    ("it_may_be_cancelled_at_any_checkpoint", makes_an_error_of_cancellation),
    ("a_turn_that_is_told_again_is_answered", has_no_second_try),
    ("a_tool_that_refuses_does_not_end_the_turn", passes_tool_errors_on),
    ("when_it_cannot_answer_it_says_why", apologizes),
    ("when_it_cannot_answer_it_says_why", knows_no_zone),
    ("when_it_can_answer_again_it_does", knows_no_zone),
]


@pytest.mark.parametrize(("name", "wrong"), FAULTS)
async def test_what_is_broken_is_found(name: str, wrong: Run, autojump_clock: trio.testing.MockClock) -> None:
    del autojump_clock

    @asynccontextmanager
    async def opens() -> AsyncIterator[ProviderUnderTest]:
        made = Model(wrong)
        yield ProviderUnderTest(made, tool_question=CALL, unable=made.down)

    with pytest.raises(NotConforming, match=f"^{name}: "):
        await check(name, opens)


async def test_a_provider_without_a_name_is_found() -> None:
    @asynccontextmanager
    async def opens() -> AsyncIterator[ProviderUnderTest]:
        yield ProviderUnderTest(Model(name=""))

    with pytest.raises(NotConforming, match="its name is ''"):
        await check("it_has_a_name", opens)


def test_every_check_was_seen_to_fail() -> None:
    assert {name for name, _ in FAULTS} | {"it_has_a_name"} == set(NAMES)
