"""Our own providers conform to their protocol; each check of the suite fails for a broken provider."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any

import pytest
import trio
from attrs import define

from agent_runner.errors import ProviderError
from agent_runner.providers import SimpleProvider, Toolbox, load
from agent_runner.records import Reply, Result, Turn
from nanoclaw.testing import calls, says, thinks
from nanoclaw.testing.conformance import (
    NotConforming,
    ProviderUnderTest,
    lifecycle,
    provider_checks,
    watches,
    with_model,
)
from nanoclaw.testing.conformance.provider import CHECKS
from nanoclaw.testing.world.scripted_provider import provider_of
from tests.conformance.broken_lives import (
    LIFE_FAULTS,
    Living,
    Open,
    Remembering,
    adds_a_tool_with_a_bad_schema,
)
from tests.conformance.broken_models import MODEL_FAULTS, minded
from tests.conformance.broken_providers import CALL, FAULTS, Run, sleeps, yes

NAMES = [check.__name__ for check in (*CHECKS, *lifecycle.CHECKS, *with_model.CHECKS)]
Opens = Callable[[], AbstractAsyncContextManager[ProviderUnderTest]]


async def check(name: str, opens: Opens) -> str | None:
    [found] = [one for one in provider_checks(opens) if one.name == name]
    return await found()


@asynccontextmanager
async def echo() -> AsyncIterator[ProviderUnderTest]:
    yield ProviderUnderTest(load("echo"), tool_question=CALL)


@asynccontextmanager
async def scripted() -> AsyncIterator[ProviderUnderTest]:
    """Open a scripted provider whose turns all have the same three steps."""
    steps = [calls("send_message", text="wait"), thinks(1), says("{text}!")]

    async def brain(turn: Turn, tools: Toolbox) -> str:
        return "".join([await step(turn, tools) or "" for step in steps])

    yield ProviderUnderTest(provider_of("scripted", brain)())


@define(eq=False)
class Model(SimpleProvider):
    """A correct provider; `run` may be replaced."""

    act: Run | None = None
    name: str = "model"
    up: bool = True

    async def run(self, turn: Turn, tools: Toolbox, /) -> Result:
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


@pytest.mark.parametrize("opens", [echo, scripted, model, minded])
@pytest.mark.parametrize("name", NAMES)
async def test_our_providers_conform(name: str, opens: Opens, autojump_clock: trio.testing.MockClock) -> None:
    del autojump_clock
    await check(name, opens)


# -- every check has a failing example -------------------------------------------------


@pytest.mark.parametrize(("name", "wrong"), FAULTS)
async def test_each_broken_provider_fails_its_check(
    name: str, wrong: Run, autojump_clock: trio.testing.MockClock
) -> None:
    del autojump_clock

    @asynccontextmanager
    async def opens() -> AsyncIterator[ProviderUnderTest]:
        made = Model(wrong)
        yield ProviderUnderTest(made, tool_question=CALL, unable=made.down)

    with pytest.raises(NotConforming, match=f"^{name}: "):
        await check(name, opens)


@pytest.mark.parametrize(("slow_turns", "found"), [(math.inf, True), (2, False)])
async def test_a_provider_that_blocks_the_event_loop_is_found_unless_the_machine_was_busy(
    monkeypatch: pytest.MonkeyPatch, slow_turns: float, *, found: bool
) -> None:
    left, now = [slow_turns + 1], [0.0]  # the first turn is checked for something else

    async def computes(turn: Turn, _tools: Toolbox) -> Result:
        await trio.lowlevel.checkpoint()
        left[0] -= 1
        now[0] += 3 if left[0] >= 0 else 0
        await trio.lowlevel.checkpoint()
        return yes(turn)

    @asynccontextmanager
    async def opens() -> AsyncIterator[ProviderUnderTest]:
        yield ProviderUnderTest(Model(computes))

    monkeypatch.setattr(watches, "perf_counter", lambda: now[0])
    if not found:
        assert await check("others_run_meanwhile", opens) is None
        return
    with pytest.raises(NotConforming, match=r"blocked all other tasks for 3\.0 s"):
        await check("others_run_meanwhile", opens)


async def test_the_line_that_blocks_the_event_loop_is_named() -> None:
    @asynccontextmanager
    async def opens() -> AsyncIterator[ProviderUnderTest]:
        yield ProviderUnderTest(Model(sleeps))

    with pytest.raises(NotConforming, match=r"time\.sleep \(broken_providers\.py:\d+\)"):
        await check("others_run_meanwhile", opens)


async def cleans_up(turn: Turn, _tools: Toolbox) -> Result:
    """Clean up quickly when cancelled."""
    try:
        await trio.sleep(1)
    finally:
        with trio.move_on_after(2, shield=True):
            await trio.sleep(3)
    return yes(turn)


@pytest.mark.parametrize("honest", [cleans_up])
@pytest.mark.parametrize("name", NAMES)
async def test_an_honest_provider_conforms(
    name: str, honest: Run, autojump_clock: trio.testing.MockClock
) -> None:
    del autojump_clock

    @asynccontextmanager
    async def opens() -> AsyncIterator[ProviderUnderTest]:
        yield ProviderUnderTest(Model(honest), tool_question="hello again")

    if name not in {
        "a_tool_that_refuses_does_not_end_the_turn",
        "a_call_that_does_not_fit_its_schema_does_not_end_the_turn",
    }:  # they call none
        await check(name, opens)


async def replies_with_a_number(turn: Turn, _tools: Toolbox) -> Result:
    text: Any = 5
    return Result((Reply(text, turn.messages[0].id),))


async def raises_no_exception(_turn: Turn, _tools: Toolbox) -> Result:
    raise asyncio.CancelledError("of an SDK")


async def fails_in_a_nursery(_turn: Turn, _tools: Toolbox) -> Result:
    async with trio.open_nursery():
        raise ProviderError("busy")


@pytest.mark.parametrize(
    ("name", "wrong", "words"),
    [
        ("what_is_asked_is_answered", replies_with_a_number, "a reply is 5, expected a Reply with a text"),
        ("any_text_is_taken", replies_with_a_number, "a reply is 5, expected a Reply with a text"),
        ("damaged_state_does_not_stop_it", replies_with_a_number, "without state a reply is 5, expected"),
        ("what_is_asked_is_answered", raises_no_exception, r"CancelledError: of an SDK"),
        ("every_kind_of_message_is_taken", raises_no_exception, r"CancelledError: of an SDK"),
        ("damaged_state_does_not_stop_it", raises_no_exception, r"CancelledError: of an SDK"),
        ("damaged_state_does_not_stop_it", fails_in_a_nursery, r"without state a turn raised ProviderError"),
    ],
)
async def test_what_the_runner_refuses_is_found(
    name: str, wrong: Run, words: str, autojump_clock: trio.testing.MockClock
) -> None:
    del autojump_clock

    @asynccontextmanager
    async def opens() -> AsyncIterator[ProviderUnderTest]:
        yield ProviderUnderTest(Model(wrong))

    with pytest.raises(NotConforming, match=words):
        await check(name, opens)


async def test_a_provider_without_a_name_is_found() -> None:
    @asynccontextmanager
    async def opens() -> AsyncIterator[ProviderUnderTest]:
        yield ProviderUnderTest(Model(name=""))

    with pytest.raises(NotConforming, match="its name is ''"):
        await check("it_has_a_name", opens)


@pytest.mark.parametrize(("name", "opening"), LIFE_FAULTS)
async def test_each_broken_provider_lifecycle_fails_its_check(
    name: str, opening: Open, autojump_clock: trio.testing.MockClock
) -> None:
    del autojump_clock

    @asynccontextmanager
    async def opens() -> AsyncIterator[ProviderUnderTest]:
        made = Living(opening)
        yield ProviderUnderTest(made, tool_question=CALL, unable=lambda: down(made))

    with pytest.raises(NotConforming, match=f"^{name}: "):
        await check(name, opens)


@pytest.mark.parametrize(("name", "fault"), MODEL_FAULTS)
async def test_each_provider_that_fails_with_its_model_fails_its_check(
    name: str, fault: str, autojump_clock: trio.testing.MockClock
) -> None:
    del autojump_clock
    with pytest.raises(NotConforming, match=f"^{name}: "):
        await check(name, lambda: minded(fault))


@contextmanager
def down(made: Living) -> Iterator[None]:
    made.up = False
    yield


async def test_a_provider_that_does_not_tell_its_model_of_a_late_tool_is_found() -> None:
    @asynccontextmanager
    async def opens() -> AsyncIterator[ProviderUnderTest]:
        made = Remembering()
        yield ProviderUnderTest(made, offered=lambda: made.offered)

    with pytest.raises(NotConforming, match="the model was not offered 'phase_of_moon'"):
        await check("tools_may_appear_and_vanish", opens)


async def test_a_tool_with_a_bad_schema_is_named() -> None:
    @asynccontextmanager
    async def opens() -> AsyncIterator[ProviderUnderTest]:
        yield ProviderUnderTest(Living(adds_a_tool_with_a_bad_schema))

    with pytest.raises(
        NotConforming, match=r"it could not open: .*tool 'x': its schema is invalid at properties"
    ):
        await check("it_opens_and_closes", opens)


def test_every_check_has_a_failing_example() -> None:
    assert {name for name, _ in (*FAULTS, *LIFE_FAULTS, *MODEL_FAULTS)} | {"it_has_a_name"} == set(NAMES)
