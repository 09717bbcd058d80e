"""The provider's suite, continued: opening and closing, state that outlives a runner, tools that change."""

from collections.abc import Awaitable, Callable, Mapping

import trio

from agent_runner.errors import ProviderError
from agent_runner.foreign import foreign_code
from agent_runner.providers import ProviderContext, Tool, ToolSpec
from agent_runner.records import Result
from nanoclaw.system.foreign import ungrouped
from nanoclaw.testing.conformance.checks import NotConforming, hook, require
from nanoclaw.testing.conformance.contexts import MemoryState
from nanoclaw.testing.conformance.providers import (
    OpenUnderTest,
    ProviderUnderTest,
    answers,
    fresh_context,
    opened,
)
from nanoclaw.testing.conformance.steps import step
from nanoclaw.testing.conformance.turns import Tools, message, require_result, turn_of
from nanoclaw.testing.conformance.watches import CancelAfter

CLOSES_S = 5.0
"""Time to close after a cancellation. A runner that is stopped may be killed sooner."""
MOST_CUTS = 50
LATE_TOOL = "phase_of_moon"
DAMAGED = ("", "\x00{", "null", "[]")
"""Values that another build may have left."""
STRICT_TOOL = ToolSpec(
    "send_message",
    "Send a message before the turn is over.",
    {
        "type": "object",
        "properties": {"text": {"type": "string"}, "urgency": {"enum": ["low", "high"]}},
        "required": ["text", "urgency"],
    },
)


# -- opening and closing -----------------------------------------------------------


async def it_opens_and_closes(it: ProviderUnderTest) -> None:
    """A runner opens its provider once, before the first turn, and closes it when it ends."""
    async with opened(it):
        pass


async def cancelled_while_it_opens_it_goes(it: ProviderUnderTest) -> None:
    """Opening can be cancelled at any step, without an error or a leaked resource."""

    async def live(context: ProviderContext, cut: CancelAfter) -> None:
        with cut:
            async with it.provider.open(context):
                pass

    for steps in range(1, MOST_CUTS):
        if not await _cancelled(it, f"cancelled after {steps} steps of opening", steps, live):
            return


async def cancelled_between_turns_it_closes(it: ProviderUnderTest) -> None:
    """The provider can be cancelled while it waits between turns."""

    async def live(context: ProviderContext, cut: CancelAfter) -> None:
        async with it.provider.open(context):
            with cut:
                await trio.sleep_forever()

    await _cancelled(it, "cancelled between turns", 1, live)


async def cancelled_in_a_turn_it_closes(it: ProviderUnderTest) -> None:
    """Cancellation ends the turn first and then closes the provider."""

    async def live(context: ProviderContext, cut: CancelAfter) -> None:
        async with it.provider.open(context) as handler:
            with cut:
                await handler.run(turn_of(message(1, it.question)), Tools())

    for steps in range(1, MOST_CUTS, 7):
        if not await _cancelled(it, f"cancelled after {steps} steps of a turn", steps, live):
            return


async def _cancelled(
    it: ProviderUnderTest,
    when: str,
    steps: int,
    live: Callable[[ProviderContext, CancelAfter], Awaitable[None]],
) -> bool:
    """Cancel a run after this many steps. Return False if it ended before."""
    cut = CancelAfter(trio.CancelScope(), steps)
    try:
        with (
            step(f"a provider that is {when}", it.turn_s + CLOSES_S),
            fresh_context(it, MemoryState()) as context,
            cut.scope,
        ):
            await live(context, cut)
    except NotConforming:
        raise
    except Exception as error:
        raise NotConforming(f"{when} it raised {error!r}") from error
    if cut.at is None:
        return False
    lasted = trio.current_time() - cut.at
    require(lasted <= CLOSES_S, f"{when} it took {lasted:g} s to close")
    return True


async def when_it_cannot_open_it_says_why(it: ProviderUnderTest) -> None:
    """A provider that needs its model to open raises ProviderError. Messages are released with its reason."""
    unable = hook(it.unable, "unable")
    with unable(), fresh_context(it, MemoryState()) as context:
        try:
            with step("open() without its model", it.turn_s), ungrouped(ProviderError):
                async with it.provider.open(context):
                    pass
        except NotConforming:
            raise
        except ProviderError as error:
            require(error.reason, "the ProviderError of a failed opening must have a reason")
        except Exception as error:
            raise NotConforming(f"a failed opening must raise ProviderError, got {error!r}") from error


# -- state -------------------------------------------------------------------------


async def the_next_runner_goes_on_with_its_state(it: ProviderUnderTest) -> None:
    """State stored through the context and through results is still there for the next runner."""
    state = MemoryState()
    for life in ("first", "second", "third"):
        await _live(it, state, f"in its {life} life")


async def damaged_state_does_not_stop_it(it: ProviderUnderTest) -> None:
    """A provider works without its state, which may be lost with outbound.db or come from another build."""
    left = MemoryState()
    await _live(it, left, "without state")
    for damage in DAMAGED:
        state = MemoryState(dict.fromkeys(left.values, damage))
        await _live(it, state, f"with {damage!r} for each value of its state")


async def _live(it: ProviderUnderTest, state: MemoryState, when: str) -> None:
    async with opened(it, state) as open_:
        result = await _taken(open_, when)
    try:
        state.apply(result.state)
    except ValueError as error:
        raise NotConforming(f"{when} the state of its result is refused: {error}") from error


# -- tools -------------------------------------------------------------------------


async def tools_may_appear_and_vanish(it: ProviderUnderTest) -> None:
    """Each turn reads the list of tools again."""
    async with opened(it) as open_:
        tools = open_.context.tools
        await _offers(open_, "at first", late=False)
        tools.add(Tool(ToolSpec(LATE_TOOL, "Tell the phase of the moon.", {"type": "object"}), _phase))
        await _offers(open_, "once a tool has appeared", late=True)
        tools.remove(LATE_TOOL)
        await _offers(open_, "once a tool has vanished", late=False)


async def _phase(_arguments: Mapping[str, object]) -> str:
    await trio.lowlevel.checkpoint()
    return "waxing"


async def _offers(it: OpenUnderTest, when: str, *, late: bool) -> None:
    await _taken(it, when)
    if it.offered is not None:
        found = LATE_TOOL in it.offered()
        require(found == late, f"{when} the model was {'' if found else 'not '}offered {LATE_TOOL!r}")


async def a_call_that_does_not_fit_its_schema_does_not_end_the_turn(it: ProviderUnderTest) -> None:
    """A call that violates its schema does not end the turn. Its error names the argument for the model."""
    question = hook(it.tool_question, "tool_question")
    async with opened(it) as open_:
        tools = Tools(spec=STRICT_TOOL)
        await _taken(open_, "after a call whose arguments were refused", question, tools)
        require(tools.calls, f"{question!r} must call a tool, but none was called")


async def _taken(
    it: OpenUnderTest, when: str, question: str | None = None, tools: Tools | None = None
) -> Result:
    """Return the result of a turn. Raises NotConforming if it fails or does not answer."""
    asked = question or it.question
    try:
        with step(f"a turn {when}", it.turn_s), foreign_code(ProviderError, Exception):
            result = await it.handler.run(
                turn_of(message(1, asked)), tools or Tools(session=it.context.tools)
            )
    except NotConforming:
        raise
    except Exception as error:
        raise NotConforming(f"{when} a turn raised {error!r}") from error
    found = require_result(result, when)
    require(question or answers(found), f"{when} {asked!r} was not answered: {found}")
    return found


CHECKS: tuple[Callable[[ProviderUnderTest], Awaitable[None]], ...] = (
    it_opens_and_closes,
    cancelled_while_it_opens_it_goes,
    cancelled_between_turns_it_closes,
    cancelled_in_a_turn_it_closes,
    when_it_cannot_open_it_says_why,
    the_next_runner_goes_on_with_its_state,
    damaged_state_does_not_stop_it,
    tools_may_appear_and_vanish,
    a_call_that_does_not_fit_its_schema_does_not_end_the_turn,
)
