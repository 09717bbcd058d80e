"""Virtual stand-ins for the clock and for the wake-ups of host and runner."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trio
from attrs import define, field, frozen

from nanoclaw.system.wakeups import DRAFT, Changed
from nanoclaw.testing.world.executor import InlineExecutor

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
"""The date at which every simulation begins, unless it says otherwise."""


@define(eq=False)
class VirtualClock:
    """The date on trio's clock, which is virtual in a simulation. `jump` changes the date."""

    epoch: datetime = EPOCH
    """The date at the beginning, as all jumps so far have moved it."""
    forward: timedelta = timedelta()
    """All jumps forward so far, added up."""
    _jumped: trio.Event = field(factory=trio.Event, init=False)

    def now(self) -> datetime:
        """The current virtual time, aware, in UTC."""
        return self.epoch + timedelta(seconds=trio.current_time())

    def jump(self, by: timedelta) -> None:
        """Move the date forward or back, but not trio's clock, as a suspend or a change of the date does."""
        self.epoch += by
        self.forward += max(by, timedelta())
        self._jumped.set()
        self._jumped = trio.Event()

    async def jumped(self) -> None:
        """Return after the next jump."""
        await self._jumped.wait()


@frozen
class Moment:
    """A moment on trio's clock, which nobody sets, and the jumps of the date until then."""

    on_trios_clock: float
    forward: timedelta

    @classmethod
    def of(cls, clock: VirtualClock) -> "Moment":
        """Return the current moment."""
        return cls(trio.current_time(), clock.forward)

    def passed(self, clock: VirtualClock) -> float:
        """Return the seconds since then. Jumps forward shorten a wait. Jumps back do not lengthen it."""
        jumped = (clock.forward - self.forward).total_seconds()
        return trio.current_time() - self.on_trios_clock + jumped


@frozen
class CommitWakeups:
    """The host's wake-ups, called directly by the executor's commits. Implements `system.wakeups.Wakeups`."""

    executor: InlineExecutor

    @contextmanager
    def watch(self, directory: Path, changed: Changed, drafted: Changed | None = None) -> Iterator[None]:
        """Call `changed` after each commit in `directory`, and `drafted` after each draft."""
        ends = [self.executor.subscribe(directory, changed)]
        if drafted is not None:
            ends.append(self.executor.subscribe(directory / DRAFT, drafted))
        try:
            yield
        finally:
            for end in ends:
                end()

    def polled(self, directory: Path) -> None:
        """Return None: no directory is polled."""

    async def run(self) -> None:
        """Do nothing: commits call the watchers directly."""
        await trio.sleep_forever()


@frozen
class RunnerWakeups:
    """The runner's wake-ups. Implements `agent_runner.seams.Wakeups`."""

    executor: InlineExecutor

    @asynccontextmanager
    async def watch(self, directory: Path, changed: Callable[[], None]) -> AsyncIterator[None]:
        """Call `changed` after each commit in `directory`, until the context ends."""
        end = self.executor.subscribe(directory, changed)
        try:
            yield
        finally:
            end()
