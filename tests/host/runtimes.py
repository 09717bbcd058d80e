"""Runtimes without processes."""

from collections.abc import Sequence

import trio
from attrs import Factory, define, field

from nanoclaw.runtimes import Death, Runner, RunnerSpec, StartFailed


@define(eq=False)
class FakeRunner:
    """A runner that does nothing until the test ends it."""

    spec: RunnerSpec
    asked: bool = False
    obeys: bool = True
    _death: list[Death] = Factory(list)
    _gone: trio.Event = Factory(trio.Event)

    def stop(self) -> None:
        self.asked = True
        if self.obeys:
            self.die(Death(orderly=True, reason="asked to"))

    def die(self, death: Death) -> None:
        self._death.append(death)
        self._gone.set()

    async def gone(self) -> Death:
        await self._gone.wait()
        return self._death[0]


@define(eq=False)
class FakeRuntime:
    """Starts runners that do nothing. `broken` is the reason for which starts fail."""

    broken: str | None = None
    runners: list[FakeRunner] = field(factory=list, init=False)
    recovered: int = field(default=0, init=False)
    name: str = "fake"
    _started: trio.Event = field(factory=trio.Event, init=False)

    async def run(
        self, spec: RunnerSpec, *, task_status: trio.TaskStatus[Runner] = trio.TASK_STATUS_IGNORED
    ) -> Death:
        await trio.lowlevel.checkpoint()
        if self.broken:
            raise StartFailed(self.broken)
        runner = FakeRunner(spec)
        self.runners.append(runner)
        self._started.set()
        self._started = trio.Event()
        task_status.started(runner)
        return await runner.gone()

    def refusal(self, _provider: str) -> str | None:
        return None

    async def survivors(self) -> Sequence[str]:
        return ()

    async def recover(self, spec: RunnerSpec) -> None:
        del spec
        await trio.lowlevel.checkpoint()
        self.recovered += 1

    async def wait_started(self, n: int) -> FakeRunner:
        """Wait for the n-th runner."""
        while len(self.runners) < n:
            await self._started.wait()
        return self.runners[n - 1]
