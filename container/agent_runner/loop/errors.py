"""The problems of requests to a model, and how they are found in the answers of its server."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum

from attrs import frozen

LONGEST_WAIT_S = 3600.0
"""A server that asks for more is asked again after this time."""
LONGEST_REASON = 500
"""Characters of a server's message that are kept."""


class Problem(Enum):
    """The kind of a failure. It decides what the loop does next."""

    RETRY = "retry"
    """The server is down, busy, silent or broken. Try later."""
    QUOTA = "quota"
    """There is no credit left. Only people can change that."""
    BUDGET = "budget"
    """The host's budget for this session is used up. The host pauses the session."""
    HISTORY = "history"
    """The server refuses the conversation. Start fresh."""
    TOO_LONG = "too long"
    """The request does not fit the model's context."""
    NO_FILES = "no files"
    """The model takes no pictures or files."""
    FATAL = "fatal"
    """Another try would fail in the same way, such as with a wrong key."""


@frozen(str=False)
class ModelError(Exception):
    """A request to a model failed."""

    problem: Problem
    """What is wrong."""
    reason: str
    """The reason, for the log."""
    for_user: str = ""
    """For FATAL and QUOTA: what is wrong and what the owner can do, in plain words."""
    wait_s: float | None = None
    """The time after which the server asks to be tried again, in seconds."""
    context_tokens: int = 0
    """For TOO_LONG: the size of the model's context, if the server says it."""
    is_silence: bool = False
    """True if the server said nothing for its whole time limit. Then it is not asked again at once."""
    is_lasting: bool = True
    """For NO_FILES: True if the model takes none at all, rather than not these."""

    def __str__(self) -> str:
        """Return the reason alone."""
        return self.reason


@frozen(kw_only=True)
class ServerSaid:
    """An error response of a model's server, or of the gateway before it."""

    status: int
    kind: str = ""
    """The type or code of the error."""
    message: str = ""
    """Its message."""
    headers: Mapping[str, str]
    """Its headers, with names in lower case."""
    has_files: bool = False
    """True if the request showed files to the model."""


_KEY = "The model's server refuses the key. Owner: check [model] key in config.toml, or run `nanoclaw setup`."
_FORBIDDEN = "The model's server does not allow this. Owner: check what the key may use, and [model] name."
_NO_MODEL = (
    "The model's server does not know the model. /model shows its name, and `/model default` returns to the "
    "configured one. Owner: check [model] name and base_url in config.toml, or run `nanoclaw setup`."
)
_NO_CREDIT = "No credit is left at the model's server. Owner: add credit there, or choose another model."
_REFUSED = "The model's server refuses the request. Owner: see the log, and check [model] in config.toml."
_KEY_UNREADABLE = (
    "The key of the model cannot be read. Owner: check [model] key in config.toml, or run `nanoclaw doctor`."
)

_TOO_LONG = re.compile(
    r"prompt is too long|context.{0,20}(length|window|size)|maximum context|too many tokens"
    r"|exceeds? .{0,40}tokens|exceed\w* the .{0,30}context|input.{0,30}too long",
    re.IGNORECASE,
)
_QUOTA = re.compile(
    r"insufficient_quota|exceeded your current quota|billing|(insufficient|low).{0,20}(credit|balance|funds)"
    r"|credit balance",
    re.IGNORECASE,
)
_FILES = re.compile(
    r"image|picture|vision|multi-?modal|\bpdf\b|document|mmproj|\bfile\b|content.{0,3}type", re.IGNORECASE
)
_NEVER = re.compile(r"support|only|cannot (read|accept)|no endpoints|mmproj|vision|modal", re.IGNORECASE)
_HISTORY = re.compile(
    r"tool_use|tool_result|tool_calls?\b.{0,80}(follow|respon|preced)|tool_call_id|roles? must|alternat"
    r"|messages\.\d+|messages with role",
    re.IGNORECASE,
)
_NUMBERS = re.compile(
    r"(?:maximum|max|limit|n_ctx|context)\D{0,40}?(\d{4,8})|(\d{4,8})\s*(?:tokens?\s*)?(?:maximum|max\b)",
    re.IGNORECASE,
)


def classify(said: ServerSaid) -> ModelError:
    """Return the error for a response with an error status."""
    reason = f"status {said.status}: {' '.join(said.message.split()) or said.kind or 'no message'}"
    problem, for_user = _problem(said)
    return ModelError(
        problem,
        reason[:LONGEST_REASON],
        for_user,
        wait_s=wait_of(said.headers),
        context_tokens=_context(said.message) if problem is Problem.TOO_LONG else 0,
        is_silence=said.status == 504,  # noqa: PLR2004 -- a gateway has waited for the server
        is_lasting=bool(_NEVER.search(said.message)),
    )


def _problem(said: ServerSaid) -> tuple[Problem, str]:
    if said.kind.startswith("nanoclaw_"):
        return _of_gateway(said)
    words = f"{said.kind} {said.message}"
    if said.has_files and said.status not in {401, 402, 403, 429} and _FILES.search(words):
        return Problem.NO_FILES, ""
    if said.status in {400, 413, 422, 500} and _TOO_LONG.search(words):
        return Problem.TOO_LONG, ""
    if said.status == 402 or (said.status in {400, 403, 429} and _QUOTA.search(words)):  # noqa: PLR2004 -- a status
        return Problem.QUOTA, _NO_CREDIT
    return _of_status(said.status, words)


def _of_status(status: int, words: str) -> tuple[Problem, str]:
    match status:
        case 401:
            return Problem.FATAL, _KEY
        case 403:
            return Problem.FATAL, _FORBIDDEN
        case 404:
            return Problem.FATAL, _NO_MODEL
        case _:
            return _problem_of_status(status, words), _REFUSED


def _problem_of_status(status: int, words: str) -> Problem:
    if status in {408, 409, 425, 429} or status >= 500:  # noqa: PLR2004 -- the server's own failures
        return Problem.RETRY
    if status == 413:  # noqa: PLR2004 -- content too large
        return Problem.TOO_LONG
    return Problem.HISTORY if _HISTORY.search(words) else Problem.FATAL


def _of_gateway(said: ServerSaid) -> tuple[Problem, str]:
    """Return the problem of an answer that the gateway gave by itself. Its messages are for people."""
    match said.kind.removeprefix("nanoclaw_"):
        case "budget":
            return Problem.BUDGET, ""
        case "key":
            return Problem.FATAL, _sentence(said.message) or _KEY_UNREADABLE
        case "too_large":
            return Problem.TOO_LONG, ""
        case "forbidden":
            return Problem.FATAL, _sentence(said.message) or _FORBIDDEN
        case _:
            return Problem.RETRY, ""


def _sentence(message: str) -> str:
    return message[:1].upper() + message[1:]


def wait_of(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a server asks to wait, at most an hour; None if it does not say."""
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * scale
        except ValueError:
            continue
        if seconds >= 0:
            return min(seconds, LONGEST_WAIT_S)
    return _wait_for_date(headers)


def _wait_for_date(headers: Mapping[str, str]) -> float | None:
    """Return the wait until a date in `retry-after`, by the server's own clock."""
    try:
        until = parsedate_to_datetime(headers["retry-after"])
        now = parsedate_to_datetime(headers["date"])
    except (KeyError, ValueError, TypeError):
        return None
    return min(max(0.0, (_aware(until) - _aware(now)).total_seconds()), LONGEST_WAIT_S)


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _context(message: str) -> int:
    """Return the size of the context that a message names, or 0."""
    found = _NUMBERS.search(message.replace(",", ""))
    return int(next(filter(None, found.groups()))) if found else 0


def unreachable(reason: str, *, is_silence: bool = False) -> ModelError:
    """Return the error for a server that cannot be reached, is silent, or breaks off."""
    return ModelError(Problem.RETRY, reason[:LONGEST_REASON], is_silence=is_silence)


def not_an_answer(reason: str) -> ModelError:
    """Return the error for a response that is not in the API's format."""
    return ModelError(Problem.RETRY, f"the model's server sent no valid answer: {reason}"[:LONGEST_REASON])
