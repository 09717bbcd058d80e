"""The end of Claude Code's work on a message: an answer, or an error of a known class."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal

from attrs import frozen

from agent_runner.errors import ProviderError, ProviderFatal

Kind = Literal["answer", "steps", "invalid", "down", "quota", "budget", "key", "model", "too long"]
BUDGET_PAUSE_S = 60.0
FOR_USER: Mapping[Kind, str] = {
    "key": "The model's server refuses the key. "
    "Owner: check [model] key in config.toml, or run `nanoclaw setup`.",
    "model": "The model's server does not know the model. "
    "Owner: check [model] name and base_url in config.toml, or run `nanoclaw setup`.",
    "quota": "There is no credit left at the model's server. "
    "Owner: add credit, or choose another model in [model].",
    "too long": "That is too long for the model, even alone. Please send less at once.",
    "invalid": "The model's server refuses the request. "
    "Owner: see the log, and check [model] in config.toml.",
}
"""What the chat is told where another try would fail, too."""


@frozen
class Outcome:
    """What Claude Code reported at the end."""

    kind: Kind
    text: str
    """The answer, or the reason of the error."""
    pause_s: float | None = None
    """The pause that the model's server wants, in seconds."""
    earlier: tuple[str, ...] = ()
    """Answers before it, where follow-ups were answered apart."""


def classify(status: int | None, error: str | None, text: str) -> Kind:
    """Return the class of a failed request: by its HTTP status, else by Claude Code's own word for it."""
    if error == "billing_error" or re.search(r"credit balance|insufficient_quota", text, re.IGNORECASE):
        return "quota"
    match status:
        case 401 | 403:
            return "key"
        case 402:
            return "budget" if "budget" in text.lower() else "quota"
        case 404:
            return "model"
        case 400 | 413 | 422:
            return _bad_request(text)
        case _:
            return "key" if error == "authentication_failed" else "down"


def _bad_request(text: str) -> Kind:
    if re.search(r"too (long|large)|context (window|length)|maximum context", text, re.IGNORECASE):
        return "too long"
    return "invalid"


def as_error(outcome: Outcome, now: datetime) -> ProviderError:
    """Return the runner's error for an outcome that is no answer."""
    if outcome.kind in FOR_USER:
        return ProviderFatal(outcome.text, for_user=FOR_USER[outcome.kind])
    pause = BUDGET_PAUSE_S if outcome.kind == "budget" else outcome.pause_s
    return ProviderError(outcome.text, None if pause is None else now + timedelta(seconds=pause))
