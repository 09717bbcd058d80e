"""Commits of the host, told to all who wait for one: the loop between turns, tools and providers in them."""

import trio
from attrs import define, field


@define(eq=False)
class Changes:
    """Counts commits. Whoever looks notes the count first and then waits from there: none is missed."""

    count: int = 0
    _next: trio.Event = field(factory=trio.Event, init=False)

    def note(self) -> None:
        """There may have been one."""
        self.count += 1
        self._next.set()
        self._next = trio.Event()

    async def after(self, count: int) -> None:
        """Return once there was a commit after that count, at once if there was."""
        if self.count > count:
            await trio.lowlevel.checkpoint()
        while self.count <= count:
            await self._next.wait()
