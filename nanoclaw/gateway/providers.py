"""What the gateway knows of each provider: its server, the variable of its key, its model, its routes."""

import re
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Final, Literal

from attrs import frozen

Wire = Literal["anthropic", "openai"]
"""The two interfaces of model servers. An interface decides how a key is sent and how tokens are counted."""

_ID = r"[A-Za-z0-9_~][A-Za-z0-9._:@+~-]*"
MODEL_ID: Final = rf"{_ID}(?:/{_ID}){{0,4}}"


@frozen
class Route:
    """A request that a runner may make."""

    method: str
    path: re.Pattern[str]
    """The path below the server's address."""
    wire: Wire
    answers: bool = False
    """True if it asks the model for an answer, which costs tokens."""
    open: bool = False
    """True if it needs no key."""


def _route(method: str, path: str, wire: Wire, *, answers: bool = False, open_: bool = False) -> Route:
    return Route(method, re.compile(path), wire, answers, open_)


_ANTHROPIC = (
    _route("POST", "/v1/messages", "anthropic", answers=True),
    _route("POST", "/v1/messages/count_tokens", "anthropic"),
    _route("GET", "/v1/models", "anthropic"),
    _route("GET", f"/v1/models/{MODEL_ID}", "anthropic"),
)
_OPENAI = (
    _route("POST", "/chat/completions", "openai", answers=True),
    _route("GET", "/models", "openai"),
    _route("GET", f"/models/{MODEL_ID}", "openai"),
)


@frozen
class KnownProvider:
    """The facts about one provider."""

    routes: tuple[Route, ...]
    base_url: str | None = None
    """The address of its own server."""
    key_env: str | None = None
    """The variable with the key for its own server."""
    model: str = ""
    """The name of the model if none is configured."""
    extra: str | None = None
    """The optional dependency of NanoClaw with its SDK."""
    module: str | None = None
    """The module by which the SDK is found."""


OTHER: Final = KnownProvider((*_ANTHROPIC, *_OPENAI))
"""A provider of another package. It may use both interfaces."""

_AT_ANTHROPIC: Final = "https://api.anthropic.com"

KNOWN: Final[Mapping[str, KnownProvider]] = {
    "anthropic": KnownProvider(
        _ANTHROPIC, _AT_ANTHROPIC, "ANTHROPIC_API_KEY", "claude-sonnet-4-5", "anthropic", "anthropic"
    ),
    "claude": KnownProvider(
        (*_ANTHROPIC, _route("HEAD", "/?", "anthropic", open_=True)),
        _AT_ANTHROPIC,
        "ANTHROPIC_API_KEY",
        "claude-sonnet-4-5",
        "claude",
        "claude_agent_sdk",
    ),
    "openai": KnownProvider(
        _OPENAI, "https://api.openai.com/v1", "OPENAI_API_KEY", "gpt-5-mini", "openai", "openai"
    ),
    "echo": KnownProvider(()),
    "scripted": KnownProvider(()),
}


def missing_extra(name: str) -> str | None:
    """Return the extra that a provider needs and that is not installed here; None if nothing is missing."""
    known = known_provider(name)
    return None if known.module is None or find_spec(known.module) is not None else known.extra


def known_provider(name: str) -> KnownProvider:
    """Return the facts about a provider."""
    return KNOWN.get(name, OTHER)
