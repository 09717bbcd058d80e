"""Frees descriptors when they are exhausted: sessions stop the runners that have no work.

A runner costs its host descriptors, and idles for minutes before it is stopped. Without this, the newest
sessions would wait as long for theirs.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from attrs import Factory, define

from nanoclaw.store import Exhausted
from nanoclaw.system.foreign import leaves_of


@define(eq=False)
class Shortage:
    """Tells all living sessions that descriptors or memory are exhausted. Callbacks only signal."""

    _watchers: dict[object, Callable[[], None]] = Factory(dict)

    @contextmanager
    def watch(self, release: Callable[[], None]) -> Iterator[None]:
        """Call `release` at each shortage while the context is open."""
        token = object()
        self._watchers[token] = release
        try:
            yield
        finally:
            del self._watchers[token]

    @asynccontextmanager
    async def telling(self) -> AsyncIterator[None]:
        """Tell the sessions if the block ends because something is exhausted."""
        try:
            yield
        except Exception as error:
            if any(isinstance(leaf, Exhausted) for leaf in leaves_of(error)):
                self.tell()
            raise

    def tell(self) -> None:
        """Ask all sessions to release what they hold without need."""
        for release in list(self._watchers.values()):
            release()
