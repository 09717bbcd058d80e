"""The end of Claude Code's work on a message: an answer, or an error of the agent loop's kinds."""

import re

from attrs import evolve, frozen

from agent_runner.loop.errors import ModelError, Problem, ServerSaid, classify, unreachable

_AROUND = re.compile(
    r"^(Failed to authenticate\. )?API Error: (\d+ )?|\s*This is a server-side issue.*$", re.DOTALL
)
"""What Claude Code adds to the message of a server."""


@frozen
class Outcome:
    """What Claude Code reported at the end."""

    text: str = ""
    """The answer."""
    error: ModelError | None = None
    """Why there is none."""
    out_of_steps: bool = False
    """True if the turn took the most steps that it may take. Then the text is what there was."""
    earlier: tuple[str, ...] = ()
    """Answers before it, where follow-ups were answered apart."""


def failed(status: int | None, word: str | None, text: str, *, has_files: bool = False) -> Outcome:
    """Return the outcome of a failed request: its HTTP status, Claude Code's word for it, and its text.

    `has_files` tells if it showed files to the model, which some models do not take.
    """
    message = _AROUND.sub("", text)
    if status is None:
        return Outcome(error=unreachable(message))
    kind = _kind(status, word, message)
    said = ServerSaid(status=status, kind=kind, message=message, headers={}, has_files=has_files)
    return Outcome(error=classify(said))


def _kind(status: int, word: str | None, message: str) -> str:
    """Return the kind of an error. Claude Code drops it where the gateway answers by itself."""
    match status:
        case 402 if "budget" in message.lower():
            return "nanoclaw_budget"
        case 503 if "key" in message.lower():
            return "nanoclaw_key"
        case _:
            return word or ""


def too_long(text: str) -> Outcome:
    """Return the outcome of a conversation that does not fit, although Claude Code shortened it."""
    return Outcome(error=ModelError(Problem.TOO_LONG, text))


def wants_pause(seconds: float) -> Outcome:
    """Return the outcome of a server that wants a long pause before the next request."""
    return Outcome(
        error=evolve(unreachable(f"the model's server wants a pause of {seconds:.0f} s"), wait_s=seconds)
    )
