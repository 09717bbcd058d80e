"""The container runtime of simulations: the real runner's loop, as a task beside the host."""

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import trio
from attrs import Factory, define, field, frozen

from agent_runner.config import RunnerConfig
from agent_runner.errors import RunnerError
from agent_runner.providers import Provider, SimpleProvider, Toolbox, load
from agent_runner.providers.model_settings import model_settings
from agent_runner.records import Result, Turn
from agent_runner.recover import recover
from agent_runner.runner import run_runner
from agent_runner.seams import Seams as RunnerSeams
from nanoclaw.gateway import LocalDoors
from nanoclaw.runtimes import Death, Runner, RunnerSpec, StartFailed
from nanoclaw.system.clock import Clock
from nanoclaw.system.resources import schema_dir
from nanoclaw.testing.error_summary import summary_of
from nanoclaw.testing.world.executor import InlineExecutor
from nanoclaw.testing.world.gateway import GatewayClients
from nanoclaw.testing.world.scripted_provider import Overheard
from nanoclaw.testing.world.timeline import Timeline
from nanoclaw.testing.world.virtual_time import RunnerWakeups

START_S = 0.2
"""Virtual seconds from start to the runner's first line."""


@define(eq=False)
class SimulatedRunner:
    """A runner that is a task."""

    spec: RunnerSpec
    config: RunnerConfig
    scope: trio.CancelScope = Factory(trio.CancelScope)
    killed: bool = False
    abandoned: bool = False
    """True if its host died and no other host has adopted it yet."""
    death: Death | None = None
    at_its_end: Callable[[], None] | None = None
    """Called after its tasks have ended and before its end is reported. It may leave damage on disk."""
    gone: trio.Event = Factory(trio.Event)

    def stop(self) -> None:
        """Stop at the next checkpoint, keeping all commits. A dead host cannot stop its runner."""
        if not self.abandoned:
            self.scope.cancel()

    def kill(self) -> None:
        """Kill the runner without `stop`: the host sees a death."""
        self.killed = True
        self.scope.cancel()

    async def live(self, seams: RunnerSeams) -> None:
        """Run the runner's own loop until it ends."""
        try:
            with self.scope:
                await run_runner(self.config, seams)
        except (RunnerError, OSError) as error:
            self.death = Death(orderly=False, reason=f"the runner failed: {error}")
        except Exception as error:  # noqa: BLE001 -- a bug of it ends a process, and not the host
            self.death = Death(orderly=False, reason=f"the runner broke: {summary_of(error)}")
        else:
            self.death = Death(orderly=not self.killed, reason="killed" if self.killed else "stopped")
        finally:
            if self.at_its_end is not None:
                self.at_its_end()
            self.gone.set()

    async def until_gone(self) -> Death:
        """Wait for the runner's end and return it. Cancellation stops the runner, unless its host died."""
        try:
            await self.gone.wait()
        finally:
            self.stop()
            with trio.CancelScope(shield=not self.abandoned):
                await self.gone.wait()
        return self.death or Death(orderly=False, reason="it broke")


@frozen
class _Unmade(SimpleProvider):
    """A provider that could not be made. Its runner starts, and fails when it uses the provider."""

    error: Exception

    @property
    def name(self) -> str:  # type: ignore[override]  # it has none
        """Raise the error of its factory."""
        raise self.error

    async def run(self, turn: Turn, tools: Toolbox, /) -> Result:
        """Raise the error of its factory."""
        del turn, tools
        raise self.error


@define(eq=False)
class SimulatedRuntime:
    """Runs runners in this process. `providers` are used instead of the runner's own of the same name."""

    executor: InlineExecutor
    clock: Clock
    random: Random
    timeline: Timeline
    providers: Mapping[str, Callable[[], Provider]] = field(factory=dict)
    doors: LocalDoors = Factory(LocalDoors)
    """The doors of the host's gateway."""
    name: str = "simulated"
    runners: dict[str, SimulatedRunner] = field(factory=dict, init=False)
    """The living runners, by session."""
    wrap: Callable[[RunnerSpec, RunnerSeams], RunnerSeams] = lambda _spec, seams: seams
    """Returns the seams for a runner that starts, given the usual ones. Faults are injected here."""
    gone: str | None = None
    """The reason why no runner can start, while the engine is gone."""
    _schema: Path = field(factory=schema_dir, init=False)
    _outside: trio.Nursery | None = field(default=None, init=False)
    """The nursery of runners that outlive their host."""

    @asynccontextmanager
    async def outliving(self) -> AsyncIterator[None]:
        """Let runners that start in this block outlive a host that dies, as containers do."""
        async with trio.open_nursery() as self._outside:
            yield
            self._outside.cancel_scope.cancel()
        self._outside = None

    def host_died(self) -> None:
        """Record the death of the host before its tasks are cancelled: it no longer controls its runners.

        Runners that do not outlive it end with its tasks, as with the process runtime.
        """
        for runner in self.runners.values():
            runner.abandoned = self._outside is not None

    async def run(
        self, spec: RunnerSpec, *, task_status: trio.TaskStatus[Runner] = trio.TASK_STATUS_IGNORED
    ) -> Death:
        """Run a runner until it ends, is stopped or killed. Adopt a runner that outlived the last host.

        Raises:
            StartFailed: there is no provider of that name, or the engine is gone.
        """
        if self.gone is not None:
            raise StartFailed(self.gone)
        seams = self._seams(spec)
        survivor = await self._adopted(spec)
        async with trio.open_nursery() as nursery:
            runner = survivor or await self._started(spec, seams, self._outside or nursery)
            task_status.started(runner)
            return await runner.until_gone()

    async def _adopted(self, spec: RunnerSpec) -> SimulatedRunner | None:
        """Return the session's runner that lost its host. A runner with another specification is stopped."""
        runner = self.runners.get(spec.session_id)
        if runner is None:
            return None
        runner.abandoned = False
        if runner.spec == spec:
            self.timeline.add("runner adopted", spec.session_id)
            return runner
        self.timeline.add("runner replaced", spec.session_id)
        runner.stop()
        await runner.gone.wait()
        return None

    async def _started(self, spec: RunnerSpec, seams: RunnerSeams, nursery: trio.Nursery) -> SimulatedRunner:
        await trio.sleep(START_S)
        runner = self.runners[spec.session_id] = SimulatedRunner(spec, self._config(spec))
        nursery.start_soon(self._live, runner, seams)
        return runner

    async def _live(self, runner: SimulatedRunner, seams: RunnerSeams) -> None:
        id_ = runner.spec.session_id
        try:
            self.timeline.add("runner started", id_)
            await runner.live(seams)
        finally:
            runner.gone.set()  # including a runner that never ran
            del self.runners[id_]
            self.timeline.add("runner ended", id_, runner.death and runner.death.reason)

    def refusal(self, _provider: str) -> str | None:
        """Return None: any provider is accepted."""
        return None

    async def survivors(self) -> Sequence[str]:
        """Return the sessions of the runners that a dead host left behind."""
        await trio.lowlevel.checkpoint()
        return [id_ for id_, runner in self.runners.items() if runner.abandoned]

    async def recover(self, spec: RunnerSpec) -> None:
        """Let the runner roll back its journal.

        Raises:
            StartFailed: it could not.
        """
        if self.gone is not None:
            raise StartFailed(self.gone)
        self.timeline.add("runner recovers", spec.session_id)
        try:
            await recover(self._config(spec), self.executor)
        except RunnerError as error:
            raise StartFailed(f"outbound.db could not be recovered: {error}") from error

    def _seams(self, spec: RunnerSpec) -> RunnerSeams:
        try:
            provider: Provider = self.providers.get(spec.provider, lambda: load(spec.provider))()
        except RunnerError as error:
            raise StartFailed(str(error)) from error
        except Exception as error:  # noqa: BLE001 -- a runner whose provider cannot be made starts, and breaks
            provider = _Unmade(error)
        agent = spec.workspace.parent.name
        overheard = Overheard(
            provider, lambda error: self.timeline.add("brain raised", agent, summary_of(error))
        )
        seams = RunnerSeams(
            self.clock,
            self.executor,
            RunnerWakeups(self.executor),
            self.random,
            overheard,
            http=GatewayClients(self.doors, spec.paths.model_socket),
            replace=self.executor.replace,
        )
        return self.wrap(spec, seams)

    def _config(self, spec: RunnerSpec) -> RunnerConfig:
        settings = json.loads(spec.environment["NANOCLAW_MODEL_SETTINGS"])
        return RunnerConfig(
            inbound_db=spec.paths.inbound_db,
            outbound_db=spec.paths.outbound_db,
            heartbeat=spec.paths.heartbeat,
            workspace=spec.workspace,
            schema_dir=self._schema,
            provider=spec.provider,
            shared=spec.shared or RunnerConfig().shared,
            model_settings=settings,
            model=model_settings(settings),
            agent_group_id=spec.environment["NANOCLAW_AGENT_GROUP_ID"],
            agent_group_name=spec.environment["NANOCLAW_AGENT_GROUP_NAME"],
            assistant_name=spec.environment["NANOCLAW_ASSISTANT_NAME"],
            admin_user_ids=tuple(filter(None, spec.environment["NANOCLAW_ADMIN_USER_IDS"].split(","))),
            timezone=spec.environment["TZ"],
            slow_poll=float(spec.environment["NANOCLAW_SLOW_POLL_S"]),
            keep_acks=float(spec.environment["NANOCLAW_KEEP_ACKS_S"]),
            keep_messages=float(spec.environment["NANOCLAW_KEEP_MESSAGES_S"]),
        )
