"""The verdict on a model: what its server's answer means, in plain words, and what to do."""

import json
from collections.abc import Sequence
from enum import Enum
from typing import Any

from attrs import frozen

from nanoclaw.config.kinds import printable
from nanoclaw.config.nearest import nearest
from nanoclaw.gateway.refusals import Kind, Refused

SHOWN = 300
"""Characters of a server's own text that are shown."""
NAMED = 5
"""Models that an error names."""
OWN = "nanoclaw_"
"""The gateway's own kinds of errors begin with it."""
NO_MONEY, NOT_FOUND, TOO_MANY, FAILS = 402, 404, 429, 500


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
    """The verdict on a model, after a request."""

    outcome: Outcome
    text: str
    """The finding, in words. It never has a key."""
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


@frozen
class Reply:
    """The whole answer of a server, or of the gateway in its place."""

    status: int
    body: bytes

    @classmethod
    def own(cls, kind: Kind, text: str) -> "Reply":
        """Return what the gateway says of a server that does not answer."""
        refused = Refused(kind, text)
        return cls(refused.status, refused.body)

    @property
    def good(self) -> bool:
        """True if the server did what it was asked."""
        return self.status == 200  # noqa: PLR2004

    @property
    def kind(self) -> str:
        """The kind of a refusal of the gateway itself, such as `key`; empty if the server answered."""
        error = _error(self.body)
        kind = error.get("type") if isinstance(error, dict) else None
        return kind.removeprefix(OWN) if isinstance(kind, str) and kind.startswith(OWN) else ""


def judged(reply: Reply, model: str | None, where: str, *, has_key: bool) -> Verdict:
    """Return what an answer other than a good one means."""
    said = _said(reply.body)
    if reply.kind:
        return _of_gateway(reply.kind, said)
    return _of_server(reply, model, where, f' ("{said}")' if said else "", has_key=has_key)


def _of_gateway(kind: str, said: str) -> Verdict:
    """Return the verdict on a server that was not reached. The gateway's text says what to do about keys."""
    match kind:
        case "key":
            return Verdict(Outcome.NO_KEY, said)
        case "timeout":
            return Verdict(
                Outcome.SILENT, said, "it may still load the model: try again, or look into its log"
            )
        case "upstream":
            return Verdict(Outcome.UNREACHABLE, said, "start that server, or correct base_url")
        case _:
            return Verdict(Outcome.REFUSED, said, "check [model]")


def _of_server(  # noqa: PLR0911 -- one return for each kind of answer
    reply: Reply, model: str | None, where: str, quoted: str, *, has_key: bool
) -> Verdict:
    status, low = reply.status, quoted.lower()
    names_model = "model" in low and ("not found" in low or "does not exist" in low or "not_found" in low)
    if status == NO_MONEY or any(word in low for word in ("insufficient_quota", "credit balance", "billing")):
        text = f"the account at {where} has no money or quota left{quoted}"
        return Verdict(Outcome.NO_MONEY, text, "add some on the service's page, or choose another model")
    if status in {401, 403} or "api key not valid" in low:
        return _refused_key(where, quoted, has_key=has_key)
    if status == TOO_MANY:
        text = f"{where} takes no more requests now{quoted}"
        return Verdict(Outcome.BUSY, text, "wait a minute, and try again")
    if status >= FAILS:
        text = f"{where} fails with status {status}{quoted}"
        return Verdict(Outcome.FAILING, text, "look into the server's log, or try again later")
    if names_model or (status == NOT_FOUND and "model" in low):
        return unknown_model(model, where, ())
    if status == NOT_FOUND and _error(reply.body) is None:
        return foreign(where, f"status {status}")
    return Verdict(
        Outcome.REFUSED, f"{where} refuses the request with status {status}{quoted}", "check [model]"
    )


def _refused_key(where: str, quoted: str, *, has_key: bool) -> Verdict:
    if not has_key:
        advice = "say where its key is: `nanoclaw setup`, or its options --key-env, --key-file, --key-stdin"
        return Verdict(Outcome.NO_KEY, f"{where} wants a key{quoted}", advice)
    advice = "check that it is whole, still valid and of this service, or make a new one there"
    return Verdict(Outcome.REFUSED_KEY, f"{where} refuses the key{quoted}", advice)


def unknown_model(model: str | None, where: str, models: Sequence[str]) -> Verdict:
    """Return the verdict for a name that the server does not have."""
    near = nearest(str(model), models)
    few = ", ".join(models[:NAMED]) + (" …" if len(models) > NAMED else "")
    has = f"it has {few}" if models else ""
    advice = (near or "").lstrip("; ") or has or "choose one that it has: `nanoclaw setup`"
    return Verdict(Outcome.UNKNOWN_MODEL, f"{where} has no model {str(model)!r}", advice, tuple(models))


def foreign(where: str, what: str) -> Verdict:
    """Return the verdict for something that is not a model server."""
    advice = "check base_url; that of a server that speaks chat completions mostly ends in /v1"
    return Verdict(Outcome.FOREIGN, f"{where} answers, but not as a model server ({what})", advice)


def models_in(body: bytes) -> tuple[tuple[str, ...], str | None] | None:
    """Return the names in a list of models and who owns the first; None if the body is not such a list."""
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
    """Return True if a body is the answer of a model, of either kind of server."""
    found = _parsed(body)
    return isinstance(found, dict) and (
        isinstance(found.get("choices"), list) or isinstance(found.get("content"), list)
    )


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _error(body: bytes) -> Any:
    """Return the error of a body: an object or a text; None if it has none."""
    found = _parsed(body)
    if isinstance(found, list) and found:  # Gemini's
        found = found[0]
    return found.get("error") if isinstance(found, dict) else None


def _said(body: bytes) -> str:
    """Return the server's own text, on one bounded line. The gateway has taken the key out of it."""
    error = _error(body)
    text = error.get("message") if isinstance(error, dict) else error
    if not isinstance(text, str):
        return ""
    line = printable(" ".join(text.split()))
    return line if len(line) <= SHOWN else f"{line[:SHOWN]}…"
