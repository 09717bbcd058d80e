"""The two events in a child's life that other tasks can wait for: it is up, and it is gone."""

from typing import Generic, TypeVar

import trio
from attrs import frozen

from actors._errors import ActorError, Reason, Stopped, crashed

T = TypeVar("T")


@frozen
class Exit:
    """How an actor ended. `cause` is its last crash, or None if it never crashed."""

    reason: Reason
    cause: Exception | None

    def error(self, actor: str) -> ActorError:
        """Make the error for a caller that waited for the actor to be up."""
        if self.cause is not None and self.reason in {"buried", "escalated"}:
            return crashed(actor, self.cause)
        return Stopped(actor, self.reason)


class Promise(Generic[T]):
    """A value that is set once. Any number of tasks may wait for it."""

    def __init__(self) -> None:
        self._event = trio.Event()
        self._values: list[T] = []

    @property
    def is_set(self) -> bool:
        """True once the value is set."""
        return bool(self._values)

    def set(self, value: T) -> None:
        """Set the value. Later calls do nothing."""
        if not self._values:
            self._values.append(value)
            self._event.set()

    async def get(self) -> T:
        """Wait for the value."""
        await self._event.wait()
        return self._values[0]


class Monitors:
    """The two promises that a child's monitors wait for.

    A waiter holds its own promise, so it also learns of an incarnation that ends before the waiter runs.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin again: before the first start, and before the fresh start after a burial."""
        self.started: Promise[Exit | None] = Promise()
        self.gone: Promise[Exit] = Promise()

    def up(self) -> None:
        """Record that an incarnation is up."""
        self.started.set(None)

    def down(self) -> None:
        """Record that the incarnation is down and another one will follow."""
        if self.started.is_set:
            self.started = Promise()

    def closing(self, exit_: Exit) -> None:
        """Record that no other incarnation will follow."""
        self.down()
        self.started.set(exit_)

    def ended(self, exit_: Exit) -> None:
        """Record that the actor is gone."""
        self.closing(exit_)
        self.gone.set(exit_)
