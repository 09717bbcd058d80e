"""The container runtime of simulations: the real runner's loop, as a task beside the host."""

from collections.abc import Callable, Mapping, Sequence
from random import Random

import trio
from attrs import Factory, define, field

from agent_runner.config import RunnerConfig
from agent_runner.errors import RunnerError
from agent_runner.providers import Provider, load
from agent_runner.recover import recover
from agent_runner.runner import run_runner
from agent_runner.seams import Seams as RunnerSeams
from nanoclaw.containers import Death, Runner, RunnerSpec, StartFailed
from nanoclaw.resources import schema_dir
from nanoclaw.seams import Clock
from nanoclaw.testing.executor import InlineExecutor
from nanoclaw.testing.timeline import Timeline
from nanoclaw.testing.virtual import RunnerWakeups

START_S = 0.2
"""Virtual seconds from start to the runner's first line."""


@define(eq=False)
class SimulatedRunner:
    """A runner that is a task."""

    scope: trio.CancelScope = Factory(trio.CancelScope)
    killed: bool = False

    def stop(self) -> None:
        """End it at its next checkpoint; what it had committed stays."""
        self.scope.cancel()

    def kill(self) -> None:
        """The same, but nobody asked for it: the host sees a death."""
        self.killed = True
        self.scope.cancel()


@define(eq=False)
class SimulatedRuntime:
    """Runs runners in this process. `providers` are used instead of the runner's own of the same name."""

    executor: InlineExecutor
    clock: Clock
    random: Random
    timeline: Timeline
    providers: Mapping[str, Callable[[], Provider]] = field(factory=dict)
    name: str = "simulated"
    runners: dict[str, SimulatedRunner] = field(factory=dict, init=False)
    """The living ones, by session."""

    async def run(
        self, spec: RunnerSpec, *, task_status: trio.TaskStatus[Runner] = trio.TASK_STATUS_IGNORED
    ) -> Death:
        """Run a runner until it ends, is stopped or killed.

        Raises:
            StartFailed: nobody has a provider of that name.
        """
        seams = self._seams(spec)
        runner = self.runners[spec.session_id] = SimulatedRunner()
        try:
            await trio.sleep(START_S)
            self.timeline.add("runner started", spec.session_id)
            task_status.started(runner)
            return await self._live(spec, seams, runner)
        finally:
            del self.runners[spec.session_id]

    async def _live(self, spec: RunnerSpec, seams: RunnerSeams, runner: SimulatedRunner) -> Death:
        try:
            with runner.scope:
                await run_runner(_config(spec), seams)
        except (RunnerError, OSError) as error:
            death = Death(orderly=False, reason=f"the runner failed: {error}")
        else:
            death = Death(orderly=not runner.killed, reason="killed" if runner.killed else "stopped")
        self.timeline.add("runner ended", spec.session_id, death.reason)
        return death

    async def survivors(self) -> Sequence[str]:
        """None: runners are tasks of their host's."""
        return ()

    async def recover(self, spec: RunnerSpec) -> None:
        """Let the runner roll back its journal.

        Raises:
            StartFailed: it could not.
        """
        self.timeline.add("runner recovers", spec.session_id)
        try:
            await recover(_config(spec), self.executor)
        except RunnerError as error:
            raise StartFailed(f"outbound.db could not be recovered: {error}") from error

    def _seams(self, spec: RunnerSpec) -> RunnerSeams:
        try:
            provider = self.providers.get(spec.provider, lambda: load(spec.provider))()
        except RunnerError as error:
            raise StartFailed(str(error)) from error
        return RunnerSeams(self.clock, self.executor, RunnerWakeups(self.executor), self.random, provider)


def _config(spec: RunnerSpec) -> RunnerConfig:
    return RunnerConfig(
        inbound_db=spec.paths.inbound_db,
        outbound_db=spec.paths.outbound_db,
        heartbeat=spec.paths.heartbeat,
        workspace=spec.workspace,
        schema_dir=schema_dir(),
        provider=spec.provider,
        assistant_name=spec.environment["NANOCLAW_ASSISTANT_NAME"],
        timezone=spec.environment["TZ"],
        keep_acks=float(spec.environment["NANOCLAW_KEEP_ACKS_S"]),
        keep_messages=float(spec.environment["NANOCLAW_KEEP_MESSAGES_S"]),
    )
