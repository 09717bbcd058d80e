"""The errors between actors, and `Refusal`, which is an answer and not a crash."""

from collections.abc import Iterator
from typing import Literal

Reason = Literal["retired", "stopped", "buried", "escalated"]
"""Why an actor takes no messages.

`retired`: it left by itself. `stopped`: its supervisor stopped it. `buried`: it was given up alone.
`escalated`: it was given up together with its supervisor.
"""


class ActorError(Exception):
    """Base of this package's errors. `actor` is the name of the actor concerned."""

    def __init__(self, actor: str) -> None:
        super().__init__(actor)
        self.actor = actor


class Crashed(ActorError):
    """The actor crashed while the message was in flight. The message may have taken effect.

    `__cause__` is the error that crashed it.
    """

    def __str__(self) -> str:
        return f"actor {self.actor!r} crashed: {self.__cause__!r}"


class Stopped(ActorError):
    """The actor takes no messages. The message was not begun, or a deadline cut it short."""

    def __init__(self, actor: str, reason: str) -> None:
        super().__init__(actor)
        self.args = (actor, reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"actor {self.actor!r} takes no messages: {self.reason}"


class GaveUp(ActorError):
    """A supervisor ended because `actor` crashed too often or fatally. `__cause__` is the last crash."""

    def __str__(self) -> str:
        return f"gave up on actor {self.actor!r}: {self.__cause__!r}"


class Killed(ActorError):
    """`Supervisor.kill` crashed the actor. `__cause__` is the error of the actor's clean-up, if any."""

    def __str__(self) -> str:
        return f"actor {self.actor!r} was killed"


class Refusal(Exception):
    """Base class of a handler's refusals. The asker gets it unchanged, and the actor does not crash."""


def crashed(actor: str, cause: BaseException) -> Crashed:
    """Make a new `Crashed` with its cause chained. Two askers never share one exception object."""
    error = Crashed(actor)
    error.__cause__ = cause
    return error


def unwrapped(error: Exception) -> Exception:
    """Return the error without the groups that nurseries put around a single error."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def leaf_errors(error: BaseException) -> Iterator[BaseException]:
    """Yield the errors in a group at any depth. For an error that is not a group, yield the error itself."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from leaf_errors(each)
    else:
        yield error
