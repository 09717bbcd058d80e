"""What is one for a whole process, while worlds may be up in several of its threads."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Generic, TypeVar

from attrs import Factory, define, field

T = TypeVar("T")


@define(eq=False)
class Shared:
    """A change to the process: the first world that needs it has it made, the last one has it taken back."""

    make: Callable[[ExitStack], None]
    """Makes it; what takes it back goes on the stack."""
    _users: int = field(default=0, init=False)
    _stack: ExitStack = field(factory=ExitStack, init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)

    @contextmanager
    def used(self) -> Iterator[None]:
        """While it is open the change is there."""
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
    """What each thread's worlds have; of worlds within one another the innermost one's counts."""

    _standing: dict[int, list[T]] = Factory(dict)

    def here(self) -> T | None:
        """This thread's."""
        standing = self._standing.get(threading.get_ident())
        return standing[-1] if standing else None

    @contextmanager
    def holding(self, thing: T) -> Iterator[None]:
        """While it is open this thread has that; others that overlap may end before it or after it."""
        standing = self._standing.setdefault(threading.get_ident(), [])
        standing.append(thing)
        try:
            yield
        finally:
            standing.remove(thing)
