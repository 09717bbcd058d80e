"""Wakes the tasks that wait for a commit of the host: the loop, tools, and turns that take follow-ups."""

import trio
from attrs import define, field


@define(eq=False)
class Changes:
    """Counts the host's commits. A reader takes the count before it reads, so it misses no commit."""

    count: int = 0
    _next: trio.Event = field(factory=trio.Event, init=False)

    def note(self) -> None:
        """Note that there may have been a commit."""
        self.count += 1
        self._next.set()
        self._next = trio.Event()

    async def after(self, count: int) -> None:
        """Return once there was a commit after that count."""
        if self.count > count:
            await trio.lowlevel.checkpoint()
        while self.count <= count:
            await self._next.wait()
