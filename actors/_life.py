"""Whether a child is up, and how it ended: what monitors wait for."""

from typing import Generic, TypeVar

import trio
from attrs import frozen

from actors._errors import ActorError, Reason, Stopped, crashed

T = TypeVar("T")


@frozen
class Exit:
    """How an actor came to be gone; `cause` is its last crash, if it ever crashed."""

    reason: Reason
    cause: Exception | None

    def error(self, actor: str) -> ActorError:
        """What to tell somebody who wanted the actor to be up."""
        if self.cause is not None and self.reason in {"buried", "escalated"}:
            return crashed(actor, self.cause)
        return Stopped(actor, self.reason)


class Promise(Generic[T]):
    """A value that is set once, and awaited by any number of tasks."""

    def __init__(self) -> None:
        self._event = trio.Event()
        self._values: list[T] = []

    @property
    def kept(self) -> bool:
        """Whether the value is set."""
        return bool(self._values)

    def keep(self, value: T) -> None:
        """Set the value; the first one stays."""
        if not self._values:
            self._values.append(value)
            self._event.set()

    async def get(self) -> T:
        """Wait for the value."""
        await self._event.wait()
        return self._values[0]


class Life:
    """One child's ups and downs. A waiter keeps hold of its promise, so that no short life escapes it."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """A first start is ahead, or one after a burial."""
        self.started: Promise[Exit | None] = Promise()
        self.gone: Promise[Exit] = Promise()

    def up(self) -> None:
        """An incarnation is up."""
        self.started.keep(None)

    def down(self) -> None:
        """It is not any more, and another is to come."""
        if self.started.kept:
            self.started = Promise()

    def closing(self, exit_: Exit) -> None:
        """No other incarnation is to come."""
        self.down()
        self.started.keep(exit_)

    def over(self, exit_: Exit) -> None:
        """It is gone."""
        self.closing(exit_)
        self.gone.keep(exit_)
