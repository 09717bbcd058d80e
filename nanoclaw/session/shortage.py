"""Frees descriptors when they are exhausted: sessions stop the runners that have no work.

A runner costs its host descriptors, and idles for minutes before it is stopped. Without this the sessions
that came last would wait for as long.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from attrs import Factory, define


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

    def tell(self) -> None:
        """Ask all sessions to release what they hold without need."""
        for release in list(self._watchers.values()):
            release()
