"""The runtime `bubblewrap`: each runner in namespaces of its own, without a daemon or an image."""

import platform
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import structlog
import trio
from attrs import define, evolve, field, frozen

from nanoclaw.config.kinds import Bytes, Name
from nanoclaw.runtimes.backlog import WorkFailed
from nanoclaw.runtimes.bubblewrap import layout
from nanoclaw.runtimes.bubblewrap.detect import Ready, compile_runner, examine
from nanoclaw.runtimes.bubblewrap.groups import Group, name_of
from nanoclaw.runtimes.bubblewrap.installing import Bounds
from nanoclaw.runtimes.bubblewrap.limits import MEMORY, Means, limits_in_force
from nanoclaw.runtimes.bubblewrap.packages import PackageFolders
from nanoclaw.runtimes.bubblewrap.sandbox import Sandbox
from nanoclaw.runtimes.bubblewrap.sandboxed import NotMade, SandboxProcess, start
from nanoclaw.runtimes.bubblewrap.seccomp import filter_for
from nanoclaw.runtimes.child import ProcessRunner
from nanoclaw.runtimes.factory import RuntimeContext, RuntimeFactory
from nanoclaw.runtimes.known_providers import KnownProviders, known_providers
from nanoclaw.runtimes.mount_points import make_mount_points
from nanoclaw.runtimes.ownership import Handover
from nanoclaw.runtimes.protocol import (
    Death,
    NotNow,
    Runner,
    RunnerSpec,
    RuntimeState,
    StartFailed,
)
from nanoclaw.runtimes.stderr import StderrLog
from nanoclaw.system.sandbox_user import sandbox_owner

RECOVER_TIMEOUT_S = 30.0
GIB = 1 << 30
_log = structlog.get_logger()


@frozen
class BubblewrapConfig:
    """Sandboxes of bubblewrap."""

    program: Name = "bwrap"
    """The program bubblewrap: a name in PATH, or a path."""
    scratch: Annotated[int, Bytes()] = GIB // 2
    """The size of a sandbox's `/tmp`, home folder and `/dev/shm`, each. They are in memory."""
    packages: Annotated[int, Bytes()] = 4 * GIB
    """The most space that the approved packages of one agent may take."""


@define(eq=False)
class BubblewrapRuntime:
    """Runs runners under bubblewrap."""

    config: BubblewrapConfig = field(factory=BubblewrapConfig)
    grace_s: float = 1.5
    known: KnownProviders = field(factory=KnownProviders)
    """The providers that there are."""
    packages: PackageFolders = field(factory=PackageFolders)
    """The approved packages of agents, and their installations."""
    name: str = "bubblewrap"
    isolates: bool = True
    _found: RuntimeState = field(init=False, default=RuntimeState(ready=True, text="not tried yet"))
    """The state of this machine, as it was last seen."""
    _ready: Ready | None = field(init=False, default=None)
    """Bubblewrap, once a trial run has succeeded."""
    _examining: trio.Lock = field(init=False, factory=trio.Lock)
    """Held during a trial."""
    _trials: int = field(init=False, default=0)
    """The trials that have ended."""
    _handover: Handover | None = field(init=False)

    def __attrs_post_init__(self) -> None:
        owner = sandbox_owner()
        self._handover = None if owner is None else Handover(owner)

    @property
    def state(self) -> RuntimeState:
        """The state of this machine, as it was last seen, and what is wrong with packages."""
        return evolve(self._found, text="; ".join((self._found.text, *self.packages.problems)))

    async def serve(self, _install_id: str) -> None:
        """Install the packages of agents, until cancelled."""
        await self.packages.serve()

    async def prepare(self, spec: RunnerSpec) -> None:
        """Install the packages of a specification.

        Raises:
            StartFailed: they cannot be installed.
        """
        try:
            await self.packages.install(spec)
        except (WorkFailed, OSError) as error:
            raise StartFailed(str(error)) from error

    def refusal(self, provider: str) -> str | None:
        """Return why the runner has no such provider. All that it has may run here."""
        return self.known.unusable(provider)

    def unhonoured(self, spec: RunnerSpec) -> Mapping[str, str]:
        """Return the parts of a specification that need an image, or another user."""
        apt = " ".join(spec.packages.apt)
        on_host = f"install them on this machine, whose programs a sandbox has (`sudo apt install {apt}`)"
        parts = {
            "image": (spec.image is not None, "remove it"),
            "user": (spec.user is not None, "remove it"),
            "packages.apt": (bool(apt), f"remove it, and {on_host}"),
        }
        docker = 'or set [sandbox] runtime = "docker"'
        return {part: f"{advice}; {docker}" for part, (given, advice) in parts.items() if given}

    async def run(
        self, spec: RunnerSpec, *, task_status: trio.TaskStatus[Runner] = trio.TASK_STATUS_IGNORED
    ) -> Death:
        """Start a runner; return when nothing of its sandbox is left. On cancellation it is stopped first.

        Raises:
            NotNow: this machine makes no sandboxes now. `state` says why.
            StartFailed: the specification cannot be honoured, or the runner does not start.
        """
        async with self._sandbox(spec, ()) as (runner, group):
            await runner.live(task_status)
            return await _death(runner, group, spec)

    async def survivors(self) -> Sequence[str]:
        """Return no session: a sandbox ends with its host. Try if this machine makes sandboxes."""
        await self._examine()
        return ()

    async def recover(self, spec: RunnerSpec) -> None:
        """Run the runner once with `recover`, in a sandbox like any other.

        Raises:
            StartFailed: it failed or took longer than `RECOVER_TIMEOUT_S`.
        """
        async with self._sandbox(spec, ("recover",)) as (runner, group):
            with trio.move_on_after(RECOVER_TIMEOUT_S):
                await runner.live(trio.TASK_STATUS_IGNORED)
            if runner.process.returncode != 0:
                death = await _death(runner, group, spec)
                raise StartFailed(f"outbound.db could not be recovered: {death.reason}")

    @asynccontextmanager
    async def _sandbox(
        self, spec: RunnerSpec, arguments: Sequence[str]
    ) -> AsyncIterator[tuple[ProcessRunner[SandboxProcess], Group | None]]:
        """Start a runner in a sandbox and its control group. The exit removes the group."""
        self._require(spec)
        ready = self._ready or await self._examine()
        if ready is None:
            raise NotNow(self.state.text)
        packages = await self._packages(spec)
        group = await trio.to_thread.run_sync(self._prepare, ready, spec, packages)
        sandbox = Sandbox(ready, spec, self.config.scratch, group, packages)
        try:
            yield await self._started(sandbox, arguments), group
        finally:
            if group is not None:
                with trio.CancelScope(shield=True):
                    await trio.to_thread.run_sync(group.remove)

    async def _packages(self, spec: RunnerSpec) -> Path | None:
        try:
            return await self.packages.folder_for(spec)
        except OSError as error:
            raise StartFailed(f"the folder of the agent's packages cannot be read: {error}") from error

    async def _started(self, sandbox: Sandbox, arguments: Sequence[str]) -> ProcessRunner[SandboxProcess]:
        try:
            process, lifeline = await start(
                partial(sandbox.line, arguments), sandbox.environment, filter_for(platform.machine())
            )
        except NotMade as error:
            if await self._examine() is None:
                raise NotNow(self.state.text) from error
            if await _ran_out(sandbox.group):
                memory = _memory_of(sandbox.spec)
                raise StartFailed(
                    f"the memory of {memory} is too little to start a runner; raise it"
                ) from error
            raise
        return ProcessRunner(process, lifeline, self.grace_s, StderrLog(sandbox.spec.session_id))

    def _require(self, spec: RunnerSpec) -> None:
        """Refuse what this runtime cannot run."""
        if (refusal := self.refusal(spec.provider)) is not None:
            raise StartFailed(refusal)
        if parts := self.unhonoured(spec):
            advice = ". ".join(f"{part}: {words}" for part, words in parts.items())
            raise StartFailed(
                f"the bubblewrap runtime cannot honour {', '.join(parts)} of the agent's container.json. "
                + advice
            )

    def _prepare(self, ready: Ready, spec: RunnerSpec, packages: Path | None) -> Group | None:
        """Make the session's folders fit for a sandbox, and make its control group. Blocking.

        Raises:
            StartFailed: it is not possible.
        """
        make_mount_points(spec.paths.outbound_dir, layout.mount_points(spec, packages), sandbox_owner())
        if self._handover is not None:
            self._handover.give(spec)
        maker = ready.maker
        return None if maker is None else maker.make(name_of(spec.paths.outbound_dir), spec.limits)

    async def _examine(self) -> Ready | None:
        """Try if this machine makes sandboxes. A trial that is going on serves all who ask meanwhile."""
        before = self._trials
        async with self._examining:
            if self._trials == before:
                await self._try_now()
        return self._ready

    async def _try_now(self) -> None:
        """Try if this machine makes sandboxes, and note it as the state."""
        owner = sandbox_owner()
        found = await trio.to_thread.run_sync(examine, self.config.program, owner and owner[0])
        self._ready = found if isinstance(found, Ready) else None
        if self._ready is not None:
            await trio.to_thread.run_sync(compile_runner)
        text = found if isinstance(found, str) else f"{found.program.path} makes sandboxes"
        self._note(RuntimeState(ready=self._ready is not None, text=text))
        self._trials += 1

    def _note(self, state: RuntimeState) -> None:
        if self._found.ready and not state.ready:
            _log.error("runtime.not_ready", runtime=self.name, reason=state.text)
        elif state.ready and not self._found.ready:
            _log.info("runtime.ready", runtime=self.name)
        self._found = state


async def _death(runner: ProcessRunner[SandboxProcess], group: Group | None, spec: RunnerSpec) -> Death:
    """Return how the runner ended. If it was killed, the reason may be its memory."""
    death = runner.death()
    if runner.process.returncode == -signal.SIGKILL and await _ran_out(group):
        return evolve(death, reason=f"its sandbox used up the memory of {_memory_of(spec)}: {death.reason}")
    return death


async def _ran_out(group: Group | None) -> bool:
    found = False
    with trio.CancelScope(shield=True):
        if group is not None:
            found = await trio.to_thread.run_sync(group.ran_out)
    return found


def _memory_of(spec: RunnerSpec) -> str:
    return limits_in_force(spec.limits, Means())[MEMORY].partition(",")[0]


def _make(config: BubblewrapConfig, context: RuntimeContext) -> BubblewrapRuntime:
    bounds = Bounds(disk_bytes=config.packages, reserve_bytes=context.sandbox.disk_reserve)
    return BubblewrapRuntime(
        config, context.runner.stop_grace_s, known_providers(context.runner), PackageFolders(bounds)
    )


BUBBLEWRAP = RuntimeFactory(BubblewrapConfig, _make)
"""The entry point `bubblewrap`."""
