"""Decides which budgets are used up, and what that means for a session. Pure functions."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from hashlib import sha256
from typing import Literal

from attrs import frozen

from nanoclaw.budgets.limits import Standing, scopes_of

GRACE_S = 300.0
"""Longest time in seconds for a turn to end, once a budget is used up. The gateway refuses its requests."""


@frozen
class OpenBreaker:
    """Something that is used up, so its sessions wait: a budget, or disk space.

    Two for the same budget and day are equal by key.
    """

    key: str
    """The name of this budget on this day, made for ids."""
    reason: str
    """Why sessions wait, as a phrase."""
    refusal: str
    """The refusal of a request to a model."""
    notice: str
    """The notice to people whose messages wait."""
    until: datetime | None = None
    """The start of the next day, for a budget."""
    kind: Literal["budget", "disk"] = "budget"
    grace_s: float = GRACE_S
    """Longest time in seconds for a turn to end."""


def key_of(standing: Standing, day: str, percent: int) -> str:
    """Return a short name of a budget, its day and a percentage, for ids."""
    return sha256(f"{standing.key(day)} {percent}".encode()).hexdigest()[:16]


def first_used_up(standings: Iterable[Standing]) -> Standing | None:
    """Return the first limit that is used up."""
    return next((each for each in standings if each.state == "used up"), None)


def breaker_of(opened: Mapping[str, OpenBreaker], session_id: str, agent_group_id: str) -> OpenBreaker | None:
    """Return the breaker that holds a session, by the open breakers of all scopes."""
    found = (opened.get(scope) for scope in scopes_of(session_id, agent_group_id))
    return next((each for each in found if each is not None), None)
