"""Process-wide state that worlds in several threads share."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Generic, TypeVar

from attrs import Factory, define, field

T = TypeVar("T")


@define(eq=False)
class Shared:
    """A change to the process: made for the first world that needs it, undone after the last."""

    make: Callable[[ExitStack], None]
    """Makes the value of a thread and registers its undo on the stack."""
    _users: int = field(default=0, init=False)
    _stack: ExitStack = field(factory=ExitStack, init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)

    @contextmanager
    def used(self) -> Iterator[None]:
        """Keep the change in place while the block runs."""
        with self._lock:
            self._users += 1
            if self._users == 1:
                self.make(self._stack)
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    self._stack.close()


@define(eq=False)
class PerThread(Generic[T]):
    """A value for each thread. With nested worlds the innermost value applies."""

    _standing: dict[int, list[T]] = Factory(dict)

    def here(self) -> T | None:
        """The value of this thread."""
        standing = self._standing.get(threading.get_ident())
        return standing[-1] if standing else None

    @contextmanager
    def holding(self, thing: T) -> Iterator[None]:
        """Set this thread's value while the block runs. Overlapping blocks may end in any order."""
        standing = self._standing.setdefault(threading.get_ident(), [])
        standing.append(thing)
        try:
            yield
        finally:
            standing.remove(thing)
