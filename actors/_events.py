"""The events that an observer receives, synchronously, as they happen."""

from typing import TypeAlias

from attrs import frozen

from actors._errors import Reason, Refusal


@frozen
class Started:
    """An incarnation is up. `restarts` counts the incarnations before it."""

    actor: str
    restarts: int


@frozen
class Crash:
    """An incarnation crashed.

    `message` is the type of the message in flight, or None if the actor was idle. `will_restart_in` is in
    seconds; None means that it will not restart, or only after a burial.
    """

    actor: str
    cause: Exception
    message: str | None
    will_restart_in: float | None


@frozen
class Buried:
    """The actor was given up. It starts afresh after `retry_after` seconds, or never (None)."""

    actor: str
    retry_after: float | None
    cause: Exception


@frozen
class Retired:
    """The actor left by itself, and its recipe has ended."""

    actor: str


@frozen
class Ended:
    """The actor was stopped, or it escalated; its recipe has ended."""

    actor: str
    reason: Reason


@frozen
class Refused:
    """A handler refused a cast or a signal, which has no caller to tell."""

    actor: str
    message: str
    refusal: Refusal


Event: TypeAlias = Started | Crash | Buried | Retired | Ended | Refused


def ignore(_event: Event) -> None:
    """Do nothing: the default observer."""
