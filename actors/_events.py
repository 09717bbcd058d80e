"""What an observer is told, synchronously, as it happens."""

from typing import TypeAlias

from attrs import frozen

from actors._errors import Reason, Refusal


@frozen
class Started:
    """An incarnation is up; `restarts` counts those before it."""

    actor: str
    restarts: int


@frozen
class Crash:
    """An incarnation crashed, with a message of type `message` in flight or idle (None).

    `will_restart_in` is in seconds; None: it will not, or not before its grave's time is up.
    """

    actor: str
    cause: Exception
    message: str | None
    will_restart_in: float | None


@frozen
class Buried:
    """The actor was given up; it is tried afresh after `retry_after` seconds, or never (None)."""

    actor: str
    retry_after: float | None
    cause: Exception


@frozen
class Retired:
    """The actor left by itself and its recipe is done."""

    actor: str


@frozen
class Ended:
    """The actor was stopped, or was given up and took its supervisor; its recipe is done."""

    actor: str
    reason: Reason


@frozen
class Refused:
    """A handler refused a message that nobody waits for (a cast or a signal)."""

    actor: str
    message: str
    refusal: Refusal


Event: TypeAlias = Started | Crash | Buried | Retired | Ended | Refused


def ignore(_event: Event) -> None:
    """The observer of whoever wants none."""
