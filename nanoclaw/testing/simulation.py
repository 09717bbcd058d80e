"""Simulations: the real host and the real runner in one process, in virtual time, deterministic from a seed.

All five seams are replaced, the SQL and SQLite are real. Within a simulation nothing runs in a thread:
virtual time jumps whenever every task waits, and it would jump past a thread's work.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import trio
from attrs import frozen
from trio.testing import MockClock

from agent_runner.providers import Provider
from nanoclaw.channels.protocol import Channel
from nanoclaw.config import Config
from nanoclaw.host import Host, Seams, open_host
from nanoclaw.testing.executor import InlineExecutor, When
from nanoclaw.testing.runtime import SimulatedRuntime
from nanoclaw.testing.timeline import Timeline
from nanoclaw.testing.virtual import CommitWakeups, VirtualClock

T = TypeVar("T")


@frozen
class World:
    """What a scenario works with. `life` opens a host on the same home: a scenario may live several lives."""

    home: Path
    executor: InlineExecutor
    runtime: SimulatedRuntime
    clock: VirtualClock
    random: Random
    timeline: Timeline

    def config(self, **changes: Any) -> Config:
        """The configuration of this world, with changes."""
        return Config(self.home, self.home / "data", self.home / "groups", **{"timezone": "UTC", **changes})

    @asynccontextmanager
    async def life(self, *channels: Channel, **changes: Any) -> AsyncIterator[Host]:
        """Run the host for a while."""
        seams = Seams(
            executor=self.executor,
            clock=self.clock,
            random=self.random,
            runtime=self.runtime,
            wakeups=self._wakeups,
        )
        async with open_host(self.config(**changes), channels=channels, seams=seams) as host:
            self.timeline.add("host ready")
            yield host
        self.timeline.add("host ended")

    async def sleep(self, seconds: float) -> None:
        """Let virtual time pass."""
        await trio.sleep(seconds)

    def kill_runner(self) -> None:
        """Kill one living runner, drawn by the seed; does nothing where none lives."""
        if self.runtime.runners:
            self.random.choice(list(self.runtime.runners.values())).kill()

    @contextmanager
    def _wakeups(self) -> Iterator[CommitWakeups]:
        yield CommitWakeups(self.executor)


def simulate(
    scenario: Callable[[World], Awaitable[T]],
    *,
    seed: int,
    home: Path,
    providers: Mapping[str, Callable[[], Provider]] | None = None,
) -> tuple[T, Timeline]:
    """Run a scenario to its end; returns what it returns, and the timeline. Blocking: it calls `trio.run`.

    Raises:
        Whatever the scenario raises.
    """
    with _deterministic(seed):
        return trio.run(_main, scenario, seed, home, providers or {}, clock=MockClock(autojump_threshold=0))


async def _main(
    scenario: Callable[[World], Awaitable[T]],
    seed: int,
    home: Path,
    providers: Mapping[str, Callable[[], Provider]],
) -> tuple[T, Timeline]:
    timeline, clock, random = Timeline(), VirtualClock(), Random(seed)  # noqa: S311 -- a simulation has no secrets

    def note(path: Path, when: When, n: int) -> None:
        if when == "after":
            timeline.add("commit", n, path.relative_to(home))

    executor = InlineExecutor(note)
    runtime = SimulatedRuntime(executor, clock, random, timeline, providers)
    return await scenario(World(home, executor, runtime, clock, random, timeline)), timeline


@contextmanager
def _deterministic(seed: int) -> Iterator[None]:
    """Let trio schedule in an order that the seed alone decides."""
    switch, random = "_ALLOW_DETERMINISTIC_SCHEDULING", "_r"  # trio's own, for this use (trio issue 890)
    run: Any = import_module("trio._core._run")
    before = getattr(run, switch)
    setattr(run, switch, True)
    getattr(run, random).seed(seed)
    try:
        yield
    finally:
        setattr(run, switch, before)
