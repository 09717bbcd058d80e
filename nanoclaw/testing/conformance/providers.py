"""The input of the provider suite, and helpers that open a provider and check its results."""

from collections.abc import AsyncIterator, Callable, Container, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager

import trio
from attrs import field, fields, frozen

from agent_runner.providers import HttpClients, Provider, ProviderContext, TurnHandler
from agent_runner.providers.http import NoHttp
from agent_runner.records import Result
from nanoclaw.testing.conformance.checks import NotConforming, require
from nanoclaw.testing.conformance.contexts import MemoryState, session_context

SOON_S = 10.0


@frozen
class ProviderUnderTest:
    """A provider, and hooks to control what is behind it; a hook may be left out."""

    provider: Provider
    """The subject, not yet opened."""
    question: str = "hello"
    """A question that the provider answers."""
    tool_question: str | None = None
    """A question for which the provider calls a tool."""
    unable: Callable[[], AbstractContextManager[None]] | None = None
    """Makes the provider unable to answer while the block runs, for example without its model."""
    turn_s: float = SOON_S
    """Longest duration of a turn, in seconds."""
    cancellations: int = 50
    """The most turns that are cut short for each question, spread over its steps."""
    offered: Callable[[], Container[str]] | None = None
    """Returns the names of the tools that the model was given in the last turn."""
    refused: Callable[[], AbstractContextManager[None]] | None = None
    """Makes the model's server refuse the key while the block runs."""
    busy: Callable[[float], AbstractContextManager[None]] | None = None
    """Makes the model's server ask to wait for this many seconds while the block runs."""
    heard: Callable[[], str] | None = None
    """Returns all that the model was told by the last request."""
    http: HttpClients = field(factory=NoHttp)
    """The source of the HTTP clients in its context."""
    model_settings: Mapping[str, object] = field(factory=dict)
    """The settings of the model in its context."""


@frozen(kw_only=True)
class OpenUnderTest(ProviderUnderTest):
    """An open provider under test."""

    handler: TurnHandler
    context: ProviderContext


@contextmanager
def fresh_context(it: ProviderUnderTest, state: MemoryState) -> Iterator[ProviderContext]:
    """Make the context of a fresh runner."""
    with session_context(state, it.http, it.model_settings) as context:
        yield context


@asynccontextmanager
async def opened(it: ProviderUnderTest, state: MemoryState | None = None) -> AsyncIterator[OpenUnderTest]:
    """Open a provider as a fresh runner does. As in a runner, the provider sees no error of the block.

    Raises NotConforming if the provider raises an error or takes too long while it opens or closes.
    """
    failure: Exception | None = None
    doing = "open"
    scope = trio.CancelScope(deadline=trio.current_time() + SOON_S)
    try:
        with scope, fresh_context(it, state or MemoryState()) as context:
            async with it.provider.open(context) as handler:
                scope.deadline = float("inf")
                require(
                    callable(getattr(handler, "run", None)), f"open yielded {handler!r}, which has no run"
                )
                given = {each.name: getattr(it, each.name) for each in fields(ProviderUnderTest)}
                try:
                    yield OpenUnderTest(**given, handler=handler, context=context)
                except Exception as error:  # noqa: BLE001 -- raised again below, outside the provider
                    failure = error
                doing, scope.deadline = "close", trio.current_time() + SOON_S
    except NotConforming:
        raise
    except Exception as error:
        if failure is None:
            raise NotConforming(f"it could not {doing}: {type(error).__name__}: {error}") from error
    if failure is not None:
        raise failure
    require(not scope.cancelled_caught, f"it did not {doing} within {SOON_S:g} s")


def answers(result: Result) -> bool:
    """Return whether a result has a text."""
    return any(reply.text for reply in result.replies)


def require_known(result: Result, known: set[str]) -> None:
    """Raise NotConforming unless the result names only messages of its turn."""
    named = {reply.in_reply_to for reply in result.replies if reply.in_reply_to} | {*result.consumed}
    require(named <= known, f"the turn is about {sorted(known)}, and its result about {sorted(named)}")
