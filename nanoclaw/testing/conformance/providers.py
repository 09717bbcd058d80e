"""The input of the provider suite, and what it looks for in a result."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from attrs import frozen

from agent_runner.providers import Provider
from agent_runner.records import Result
from nanoclaw.testing.conformance.checks import require

SOON_S = 10.0


@frozen
class ProviderUnderTest:
    """A provider, and what its tester can do to what is behind it; a hook may be left out."""

    provider: Provider
    question: str = "hello"
    """A question that it answers."""
    tool_question: str | None = None
    """A question for which it calls a tool."""
    unable: Callable[[], AbstractContextManager[None]] | None = None
    """Makes the provider unable to answer while the block runs: its model is out of reach."""
    turn_s: float = SOON_S
    """No turn takes longer."""
    cancellations: int = 50
    """The most turns that are cut short for each question, spread over its steps."""


def answers(result: Result) -> bool:
    """Return whether a result says anything."""
    return any(reply.text for reply in result.replies)


def require_known(result: Result, known: set[str]) -> None:
    """Raise NotConforming unless it names only messages of its turn."""
    named = {reply.in_reply_to for reply in result.replies if reply.in_reply_to} | {*result.consumed}
    require(named <= known, f"the turn is about {sorted(known)}, and its result about {sorted(named)}")
