"""The environment of a world: the five seams, simulated or real."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Protocol

import apsw
from attrs import Factory, define, field

from agent_runner.errors import RunnerError
from agent_runner.providers import Provider
from nanoclaw.config import Config
from nanoclaw.gateway import ModelServers
from nanoclaw.host import Seams
from nanoclaw.runtimes import Runtime, configured_runtime
from nanoclaw.store import StoreError
from nanoclaw.system.clock import Clock, SystemClock
from nanoclaw.testing.world.errors import HostKilled
from nanoclaw.testing.world.executor import CommitHook, InlineExecutor, When
from nanoclaw.testing.world.gateway import NoModels
from nanoclaw.testing.world.kill_switch import KillableExecutor, KillSwitch
from nanoclaw.testing.world.models import KillableModels
from nanoclaw.testing.world.processes import KillableProcesses
from nanoclaw.testing.world.runtime import SimulatedRuntime
from nanoclaw.testing.world.timeline import Timeline
from nanoclaw.testing.world.virtual_time import CommitWakeups, VirtualClock

FAULTS = (apsw.Error, OSError, StoreError, RunnerError, HostKilled)
"""Errors that commit hooks raise on purpose: only that transaction's caller gets them."""


class Killable(Protocol):
    """A living runner."""

    def kill(self) -> None:
        """Kill it without asking it to stop."""
        ...


class Environment(Protocol):
    """A simulated or real environment."""

    @property
    def clock(self) -> Clock:
        """The clock of the world."""
        ...

    @property
    def runners(self) -> Mapping[str, Killable]:
        """The living runners, by session."""
        ...

    def seams(self, switch: KillSwitch, runtime: Runtime | None, config: Config) -> Seams:
        """Return the seams for one run of the host; `runtime` replaces the usual one."""
        ...


@define(eq=False)
class RealEnvironment:
    """The environment of production."""

    timeline: Timeline
    clock: Clock = Factory(SystemClock)
    runners: Mapping[str, Killable] = Factory(dict)

    def seams(self, switch: KillSwitch, runtime: Runtime | None, config: Config) -> Seams:
        """Return the production seams."""
        del switch
        known = KillableProcesses(runtime or configured_runtime(config), self.timeline)
        self.runners = known.runners
        return Seams(clock=self.clock, runtime=known)


@define(eq=False)
class SimulatedEnvironment:
    """The simulated environment: virtual time, no threads, one seed."""

    home: Path
    random: Random
    timeline: Timeline
    providers: Mapping[str, Callable[[], Provider]]
    hooks: Sequence[CommitHook] = ()
    models: ModelServers = Factory(NoModels)
    clock: VirtualClock = Factory(VirtualClock)
    executor: InlineExecutor = field(init=False)
    runtime: SimulatedRuntime = field(init=False)

    _below: str = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._below = f"{self.home}/"
        self.executor = InlineExecutor(self._note)
        self.runtime = SimulatedRuntime(self.executor, self.clock, self.random, self.timeline, self.providers)

    @property
    def runners(self) -> Mapping[str, Killable]:
        """The living runners, by session."""
        return self.runtime.runners

    def seams(self, switch: KillSwitch, runtime: Runtime | None, config: Config) -> Seams:
        """Return the simulated seams. They are detached when the host is killed."""
        del config
        return Seams(
            executor=KillableExecutor(self.executor, switch),
            clock=self.clock,
            random=self.random,
            runtime=runtime or self.runtime,
            wakeups=self._wakeups,
            models=KillableModels(self.models, switch),
            doors=self.runtime.doors,
        )

    def host_died(self) -> None:
        """Detach the host's runners. Runners that do not outlive the host end with it."""
        self.runtime.host_died()
        for runner in list(self.runtime.runners.values()):
            if not runner.abandoned:
                runner.kill()

    def _note(self, path: Path, when: When, n: int) -> None:
        if when == "after":
            self.timeline.add("commit", n, str(path).removeprefix(self._below))
        try:
            for hook in tuple(self.hooks):
                hook(path, when, n)
        except FAULTS:
            raise
        except BaseException as error:
            self.timeline.broke(error)
            raise

    @contextmanager
    def _wakeups(self) -> Iterator[CommitWakeups]:
        yield CommitWakeups(self.executor)
