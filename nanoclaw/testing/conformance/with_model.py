"""The provider's suite, continued: errors of a model's server, and the conversation with the model."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from datetime import timedelta

from agent_runner.errors import ProviderError, ProviderFatal
from agent_runner.foreign import foreign_code
from nanoclaw.testing.conformance.checks import NotConforming, hook, require
from nanoclaw.testing.conformance.contexts import MemoryState
from nanoclaw.testing.conformance.providers import OpenUnderTest, ProviderUnderTest, opened
from nanoclaw.testing.conformance.steps import step
from nanoclaw.testing.conformance.turns import WHEN, Tools, message, require_result, turn_of

WAIT_S = 120.0
"""Seconds that a busy server asks to wait."""
LONGEST_WORDS = 500
FACT = "the ship is called Marigold"
"""What the provider must remember."""


async def a_refused_key_is_told_in_plain_words(it: ProviderUnderTest) -> None:
    """If the server refuses the key, a turn raises `ProviderFatal` with a short text for the user."""
    refused = hook(it.refused, "refused")
    error = await _failure(it, refused)
    if not isinstance(error, ProviderFatal):
        raise NotConforming(f"a refused key must raise ProviderFatal, got {error!r}")
    words = error.for_user
    plain = 0 < len(words) <= LONGEST_WORDS and not {"{", "<", "Traceback"} & {*words, *words.split()}
    require(plain, f"the text for the user must be a few plain words, got {words[:LONGEST_WORDS]!r}")


async def a_busy_server_is_tried_again_when_it_says(it: ProviderUnderTest) -> None:
    """If the server asks to wait, a turn raises `ProviderError` whose `retry_at` respects that."""
    busy = hook(it.busy, "busy")
    error = await _failure(it, lambda: busy(WAIT_S))
    if not isinstance(error, ProviderError) or isinstance(error, ProviderFatal):
        raise NotConforming(f"a busy server must raise ProviderError, got {error!r}")
    soonest = WHEN + timedelta(seconds=WAIT_S)
    late_enough = error.retry_at is not None and error.retry_at >= soonest
    require(late_enough, f"it must be tried again at {soonest} or later, got {error.retry_at}")


async def _failure(
    it: ProviderUnderTest, makes_fail: Callable[[], AbstractContextManager[None]]
) -> Exception | None:
    async with opened(it) as open_:
        with makes_fail():
            return await _raised(open_)


async def _raised(it: OpenUnderTest) -> Exception | None:
    try:
        with step("a turn without an answer", it.turn_s), foreign_code(ProviderError, Exception):
            await it.handler.run(turn_of(message(1, it.question)), Tools())
    except NotConforming:
        raise
    except Exception as error:  # noqa: BLE001 -- the caller wants the error
        return error
    return None


async def the_model_is_told_the_conversation(it: ProviderUnderTest) -> None:
    """Each turn tells the model of the turns before it, also in the life of the next runner."""
    heard = hook(it.heard, "heard")
    state = MemoryState()
    async with opened(it, state) as open_:
        await _committed(open_, state, FACT)
        await _committed(open_, state, it.question)
        require(FACT in heard(), "the second turn did not tell the model of the first")
    async with opened(it, state) as open_:
        await _committed(open_, state, it.question)
        require(FACT in heard(), "the next runner did not tell the model of the turns before it")


async def what_failed_is_not_part_of_the_conversation(it: ProviderUnderTest) -> None:
    """A turn that fails leaves nothing behind: its messages come again, and the model sees them once."""
    heard, refused = hook(it.heard, "heard"), hook(it.refused, "refused")
    state = MemoryState()
    async with opened(it, state) as open_:
        with refused():
            await _raised(open_)
        stored = [value for value in state.values.values() if it.question in value]
        require(not stored, f"a failed turn has stored its message: {stored[:1]!r:.200}")
        await _committed(open_, state, FACT)
        require(heard().count(FACT) == 1, f"the model was told {heard().count(FACT)} times")


async def _committed(it: OpenUnderTest, state: MemoryState, text: str) -> None:
    try:
        with step("a turn", it.turn_s), foreign_code(ProviderError, Exception):
            result = await it.handler.run(turn_of(message(1, text)), Tools())
    except NotConforming:
        raise
    except Exception as error:
        raise NotConforming(f"a turn that nothing hinders ended with {error!r}") from error
    state.apply(require_result(result).state)


CHECKS: tuple[Callable[[ProviderUnderTest], Awaitable[None]], ...] = (
    a_refused_key_is_told_in_plain_words,
    a_busy_server_is_tried_again_when_it_says,
    the_model_is_told_the_conversation,
    what_failed_is_not_part_of_the_conversation,
)
