"""The verdict on a model: what its server's answer means, in plain words, and what to do."""

import json
from collections.abc import Sequence
from enum import Enum
from typing import Any

from attrs import frozen

from nanoclaw.config.kinds import printable
from nanoclaw.config.nearest import nearest
from nanoclaw.setup.http import Answer

SHOWN = 200
"""Characters of a server's own text that are shown."""
NAMED = 5


class Outcome(Enum):
    """The kinds of verdicts."""

    FINE = "fine"
    REFUSED_KEY = "refused_key"
    NO_KEY = "no_key"
    UNKNOWN_MODEL = "unknown_model"
    NO_MONEY = "no_money"
    BUSY = "busy"
    UNREACHABLE = "unreachable"
    SILENT = "silent"
    FAILING = "failing"
    FOREIGN = "foreign"
    REFUSED = "refused"


@frozen
class Verdict:
    """What is known of a model after a request."""

    outcome: Outcome
    text: str
    """What is so, or what is wrong; no key is in it."""
    advice: str = ""
    """What to do."""
    models: tuple[str, ...] = ()
    """The models that the server listed."""

    @property
    def fine(self) -> bool:
        """True if the model answers."""
        return self.outcome is Outcome.FINE

    @property
    def sentence(self) -> str:
        """The text and the advice on one line."""
        return f"{self.text}; {self.advice}" if self.advice else self.text


def judged(answer: Answer, model: str | None, where: str, key: str | None) -> Verdict:  # noqa: PLR0911 -- one a kind
    """Return what an answer other than a good one means. `key` is hidden in the server's text."""
    said = _said(answer.body, key)
    quoted = f' ("{said}")' if said else ""
    low = said.lower()
    status = answer.status
    if status == 402 or "insufficient_quota" in low or "credit balance" in low or "billing" in low:  # noqa: PLR2004
        text = f"the account at {where} has no money or quota left{quoted}"
        return Verdict(Outcome.NO_MONEY, text, "add some on the service's page, or choose another model")
    if status in {401, 403} or "api key not valid" in low:
        if key is None:
            advice = (
                "name the place of its key: `nanoclaw setup --key-env VARIABLE`, or --key-file, --key-stdin"
            )
            return Verdict(Outcome.NO_KEY, f"{where} wants a key{quoted}", advice)
        advice = "check that it is whole, still valid and of this service, or make a new one there"
        return Verdict(Outcome.REFUSED_KEY, f"{where} refuses the key{quoted}", advice)
    if status == 429:  # noqa: PLR2004
        return Verdict(
            Outcome.BUSY, f"{where} takes no more requests now{quoted}", "wait a minute, and try again"
        )
    if status >= 500:  # noqa: PLR2004
        text = f"{where} fails with status {status}{quoted}"
        return Verdict(Outcome.FAILING, text, "look into the server's log, or try again later")
    if status == 404 and not _is_error_object(answer.body) and "model" not in low:  # noqa: PLR2004
        return foreign(where, f"status {status}")
    if "model" in low and (status == 404 or "not found" in low or "does not exist" in low):  # noqa: PLR2004
        return unknown_model(model, where, ())
    if 300 <= status < 400:  # noqa: PLR2004
        return foreign(where, f"status {status}, a redirect")
    return Verdict(
        Outcome.REFUSED, f"{where} refuses the request with status {status}{quoted}", "check [model]"
    )


def unknown_model(model: str | None, where: str, models: Sequence[str]) -> Verdict:
    """Return the verdict for a name that the server does not have."""
    near = nearest(str(model), models)
    few = ", ".join(models[:NAMED]) + (" …" if len(models) > NAMED else "")
    has = f"it has {few}" if models else ""
    advice = (near or "").lstrip("; ") or has or "choose one that it has: `nanoclaw setup`"
    return Verdict(Outcome.UNKNOWN_MODEL, f"{where} has no model {str(model)!r}", advice, tuple(models))


def foreign(where: str, what: str) -> Verdict:
    """Return the verdict for something that is no model server."""
    advice = "check base_url; that of a server that speaks chat completions mostly ends in /v1"
    return Verdict(Outcome.FOREIGN, f"{where} answers, but not as a model server ({what})", advice)


def models_in(body: bytes) -> tuple[tuple[str, ...], str | None] | None:
    """Return the names in a list of models and who owns the first; None if it is no such list."""
    found = _parsed(body)
    data = found.get("data") if isinstance(found, dict) else None
    if not isinstance(data, list):
        return None
    listed = [each for each in data[:2000] if isinstance(each, dict) and _is_name(each.get("id"))]
    if data and not listed:
        return None
    owner = listed[0].get("owned_by") if listed else None
    names = tuple(each["id"].removeprefix("models/") for each in listed)
    return names, owner if isinstance(owner, str) else None


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= SHOWN and value.isprintable()


def is_reply(body: bytes) -> bool:
    """Return whether a body is the answer of a model, of either kind of server."""
    found = _parsed(body)
    return isinstance(found, dict) and (
        isinstance(found.get("choices"), list) or isinstance(found.get("content"), list)
    )


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _is_error_object(body: bytes) -> bool:
    found = _parsed(body)
    return isinstance(found, dict) and "error" in found


def _said(body: bytes, key: str | None) -> str:
    """Return the server's own text, on one bounded line without the key."""
    found = _parsed(body)
    if isinstance(found, list) and found:  # Gemini's
        found = found[0]
    error = found.get("error", found) if isinstance(found, dict) else None
    text = error.get("message") if isinstance(error, dict) else error
    if not isinstance(text, str):
        return ""
    if key:
        text = text.replace(key, "(key)")
    line = printable(" ".join(text.split()))
    return line if len(line) <= SHOWN else f"{line[:SHOWN]}…"
