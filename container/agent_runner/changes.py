"""Commits of the host, told to all who wait for one: the loop between turns, tools and providers in them."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import trio
from attrs import define, field

from agent_runner.beside import beside
from agent_runner.seams import Wakeup, Wakeups


@define(eq=False)
class Changes:
    """Counts commits. Whoever looks notes the count first and then waits from there: none is missed."""

    count: int = 0
    _next: trio.Event = field(factory=trio.Event, init=False)

    async def after(self, count: int) -> None:
        """Return once there was a commit after that count, at once if there was."""
        if self.count > count:
            await trio.lowlevel.checkpoint()
        while self.count <= count:
            await self._next.wait()

    async def follow(self, wakeup: Wakeup) -> None:
        """Count for ever what one wake-up hears. A wake-up has one listener; this is it."""
        while True:
            await wakeup.wait()
            self.count += 1
            self._next.set()
            self._next = trio.Event()


@asynccontextmanager
async def hear(wakeups: Wakeups, directory: Path) -> AsyncGenerator[Changes]:
    """The commits in `directory`, from now until the context ends."""
    changes = Changes()
    async with wakeups.open(directory) as wakeup, beside(lambda: changes.follow(wakeup)):
        yield changes
