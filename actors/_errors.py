"""What can go wrong between actors: one small tree, and `Refusal`, which is an answer and no accident."""

from collections.abc import Iterator
from typing import Literal

Reason = Literal["retired", "stopped", "buried", "escalated"]
"""Why an actor takes no messages: it left by itself, was told to, was given up, or with all its siblings."""


class ActorError(Exception):
    """The base of this package's errors. `actor` is the name of the actor it speaks of."""

    def __init__(self, actor: str) -> None:
        super().__init__(actor)
        self.actor = actor


class Crashed(ActorError):
    """The actor crashed while the message was in flight, of `__cause__`. It may have taken effect."""

    def __str__(self) -> str:
        return f"actor {self.actor!r} crashed: {self.__cause__!r}"


class Stopped(ActorError):
    """The actor takes no messages; what was asked was not begun, or was cut short by a deadline."""

    def __init__(self, actor: str, reason: str) -> None:
        super().__init__(actor)
        self.args = (actor, reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"actor {self.actor!r} takes no messages: {self.reason}"


class GaveUp(ActorError):
    """A supervisor ended because `actor` crashed too often, or fatally; `__cause__` is the last crash."""

    def __str__(self) -> str:
        return f"gave up on actor {self.actor!r}: {self.__cause__!r}"


class Killed(ActorError):
    """The cause of a crash that `Supervisor.kill` brought about; `__cause__` is what the clean-up raised."""

    def __str__(self) -> str:
        return f"actor {self.actor!r} was killed"


class Refusal(Exception):
    """To be subclassed: a handler's considered "no". It reaches the asker as it is and crashes nobody."""


def crashed(actor: str, cause: BaseException) -> Crashed:
    """A fresh `Crashed` with its cause chained: an exception object is never shared between two askers."""
    error = Crashed(actor)
    error.__cause__ = cause
    return error


def simplest(error: Exception) -> Exception:
    """The error itself, without the groups that nurseries put around a single one."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The errors in a group, however deep; of any other error the error itself."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from leaves(each)
    else:
        yield error
