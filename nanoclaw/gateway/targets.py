"""The target of a request: which model it is for, and if that model's provider may ask for this path."""

import re
from typing import Final

from attrs import frozen

from nanoclaw.gateway.models import FALLBACK, FIRST, Model, SessionModels
from nanoclaw.gateway.providers import Route, known_provider
from nanoclaw.gateway.refusals import Refused

MAX_TARGET: Final = 1024
_TARGET = re.compile(r"(/[A-Za-z0-9._:@+~/-]*)(?:\?(.*))?", re.DOTALL)
_QUERY = re.compile(r"(?:beta=true|(?:limit|after_id|before_id)=[A-Za-z0-9._:-]{1,200})")
_HOST = re.compile(r"(?:(?:gateway|localhost|127\.0\.0\.1)(?::[0-9]{1,5})?)?")
"""The hosts that a request may name. A forwarder on the runner's loopback has the last two."""


@frozen
class Target:
    """A checked target."""

    model: Model
    route: Route
    url: str
    """The address at the model's server."""


def checked_target(models: SessionModels, method: str, target: str, host: str) -> Target:
    """Return the target of a request.

    Raises:
        Refused: it is none that this session may reach.
    """
    if not _HOST.fullmatch(host):
        raise Refused("forbidden", "the gateway serves no other host: ask http://gateway/model/...")
    path, query = _parts(target)
    place, _, below = path[1:].partition("/")
    model = _model(models, place, path)
    below = f"/{below}"
    for route in known_provider(model.provider).routes:
        if route.method == method and route.path.fullmatch(below):
            return Target(model, route, f"{model.base_url}{below}{query}")
    shown = f"{method[:16]} {below[:80]}"
    raise Refused("forbidden", f"the gateway does not allow {shown} for the provider {model.provider!r}")


def _parts(target: str) -> tuple[str, str]:
    """Return path and query. Whatever could mean another path at the server is refused."""
    match = _TARGET.fullmatch(target) if len(target) <= MAX_TARGET else None
    if match is None:
        raise Refused("forbidden", "the gateway does not allow this address")
    path, query = match[1], match[2]
    if "//" in path or any(part in {".", ".."} for part in path.split("/")):
        raise Refused("forbidden", "the gateway does not allow `//`, `.` and `..` in a path")
    if query and not all(map(_QUERY.fullmatch, query.split("&"))):
        raise Refused("forbidden", "the gateway does not allow this query")
    return path, f"?{query}" if query else ""


def _model(models: SessionModels, place: str, path: str) -> Model:
    model = models.fallback if place == FALLBACK else models.first
    if model is None or (place not in {FIRST, FALLBACK} and path != "/"):
        raise Refused(
            "forbidden", f"the gateway has no model at /{place[:40]}: ask /{FIRST}/... or /{FALLBACK}/..."
        )
    if model.base_url is None:
        raise Refused(
            "forbidden", f"the provider {model.provider!r} has no model's server; set [model] base_url"
        )
    return model
