"""The runtime of worlds in real time: the production runtime, with runners that tests can kill."""

import trio
from attrs import define, field, frozen

from nanoclaw.runtimes import Death, Runner, RunnerSpec, RuntimeWrapper
from nanoclaw.runtimes.child import ProcessRunner
from nanoclaw.testing.world.errors import WorldError
from nanoclaw.testing.world.timeline import Timeline


@frozen
class KillableRunner:
    """A living runner."""

    runner: Runner

    def kill(self) -> None:
        """Kill the process, as `kill -9` would. Raises WorldError if it is not a process of this world."""
        if not isinstance(self.runner, ProcessRunner):
            raise WorldError(f"only runners that are processes are killed; this is a {type(self.runner)}")
        self.runner.process.kill()


@define(eq=False)
class KillableProcesses(RuntimeWrapper):
    """A runtime that keeps its living runners by session, and records them in the timeline."""

    timeline: Timeline
    runners: dict[str, KillableRunner] = field(factory=dict)

    async def run(
        self, spec: RunnerSpec, *, task_status: trio.TaskStatus[Runner] = trio.TASK_STATUS_IGNORED
    ) -> Death:
        """Run a runner with the wrapped runtime."""
        try:
            death = await self.runtime.run(spec, task_status=_Born(self, spec.session_id, task_status))
        finally:
            self.runners.pop(spec.session_id, None)
        self.timeline.add("runner ended", spec.session_id, death.reason.partition("\n")[0])
        return death


@define(eq=False, slots=False)
class _Born(trio.TaskStatus[Runner]):
    runtime: KillableProcesses
    session_id: str
    told: trio.TaskStatus[Runner]

    def started(self, value: Runner) -> None:
        self.runtime.runners[self.session_id] = KillableRunner(value)
        self.runtime.timeline.add("runner started", self.session_id)
        self.told.started(value)
