"""The runtime `bubblewrap`: each runner in namespaces of its own, without a daemon or an image."""

import platform
from collections.abc import Sequence
from functools import partial
from typing import Annotated

import structlog
import trio
from attrs import define, field, frozen

from nanoclaw.config.kinds import Bytes, Name
from nanoclaw.runtimes.bubblewrap import layout
from nanoclaw.runtimes.bubblewrap.detect import Ready, examine, line
from nanoclaw.runtimes.bubblewrap.options import Wanted
from nanoclaw.runtimes.bubblewrap.sandboxed import NotMade, SandboxProcess, start
from nanoclaw.runtimes.bubblewrap.seccomp import filter_for
from nanoclaw.runtimes.child import ProcessRunner
from nanoclaw.runtimes.factory import RuntimeContext, RuntimeFactory
from nanoclaw.runtimes.handover import Handover
from nanoclaw.runtimes.known_providers import KnownProviders, known_providers
from nanoclaw.runtimes.mount_points import make_mount_points
from nanoclaw.runtimes.protocol import (
    WORKSPACE,
    Death,
    NothingLeft,
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
    scratch: Annotated[int, Bytes()] = GIB
    """The size of a sandbox's `/tmp`, and of its home folder. They are in memory."""


@define(eq=False)
class BubblewrapRuntime:
    """Runs runners under bubblewrap."""

    config: BubblewrapConfig = field(factory=BubblewrapConfig)
    grace_s: float = 1.5
    known: KnownProviders = field(factory=KnownProviders)
    """The providers that there are."""
    name: str = "bubblewrap"
    isolates: bool = True
    state: RuntimeState = field(init=False, default=RuntimeState(ready=True, text="not tried yet"))
    _ready: Ready | None = field(init=False, default=None)
    """Bubblewrap, once a trial run has succeeded."""
    _handover: Handover | None = field(init=False)

    def __attrs_post_init__(self) -> None:
        owner = sandbox_owner()
        self._handover = None if owner is None else Handover(owner)

    def refusal(self, provider: str) -> str | None:
        """Return why the runner has no such provider. All that it has may run here."""
        return self.known.unusable(provider)

    def unhonoured(self, spec: RunnerSpec) -> Sequence[str]:
        """Return the parts of a specification that need an image, or another user."""
        parts = {
            "image": spec.image is not None,
            "user": spec.user is not None,
            "apt packages": bool(spec.packages.apt),
        }
        return [part for part, given in parts.items() if given]

    async def run(
        self, spec: RunnerSpec, *, task_status: trio.TaskStatus[Runner] = trio.TASK_STATUS_IGNORED
    ) -> Death:
        """Start a runner; return when nothing of its sandbox is left. On cancellation it is stopped first.

        Raises:
            NothingLeft: this machine makes no sandboxes now. `state` says why.
            StartFailed: the specification cannot be honoured, or the runner does not start.
        """
        runner = await self._spawn(spec, ())
        await runner.live(task_status)
        return runner.death()

    async def survivors(self) -> Sequence[str]:
        """Return no session: a sandbox ends with its host. Try if this machine makes sandboxes."""
        await self._examine()
        return ()

    async def recover(self, spec: RunnerSpec) -> None:
        """Run the runner once with `recover`, in a sandbox like any other.

        Raises:
            StartFailed: it failed or took longer than `RECOVER_TIMEOUT_S`.
        """
        runner = await self._spawn(spec, ("recover",))
        with trio.move_on_after(RECOVER_TIMEOUT_S):
            await runner.live(trio.TASK_STATUS_IGNORED)
        if runner.process.returncode != 0:
            raise StartFailed(f"outbound.db could not be recovered: {runner.death().reason}")

    async def _spawn(self, spec: RunnerSpec, arguments: Sequence[str]) -> ProcessRunner[SandboxProcess]:
        self._require(spec)
        ready = self._ready or await self._examine()
        if ready is None:
            raise NothingLeft(self.state.text)
        await trio.to_thread.run_sync(self._prepare, spec)
        sandbox = partial(_line, self, ready, spec, arguments)
        try:
            process, lifeline = await start(sandbox, layout.environment(spec), filter_for(platform.machine()))
        except NotMade as error:
            if await self._examine() is None:
                raise NothingLeft(self.state.text) from error
            raise
        return ProcessRunner(process, lifeline, self.grace_s, StderrLog(spec.session_id))

    def _require(self, spec: RunnerSpec) -> None:
        """Refuse what this runtime cannot run."""
        if (refusal := self.refusal(spec.provider)) is not None:
            raise StartFailed(refusal)
        if parts := ", ".join(self.unhonoured(spec)):
            raise StartFailed(
                f"the bubblewrap runtime cannot honour {parts} of the agent's container.json; remove that, "
                'or set [sandbox] runtime = "docker"'
            )

    def _prepare(self, spec: RunnerSpec) -> None:
        """Make the session's folders fit for a sandbox. Blocking. Raises StartFailed."""
        make_mount_points(spec.paths.outbound_dir, layout.mount_points(spec), sandbox_owner())
        if self._handover is not None:
            self._handover.give(spec)

    async def _examine(self) -> Ready | None:
        """Try if this machine makes sandboxes, and note it as the state."""
        owner = sandbox_owner()
        found = await trio.to_thread.run_sync(examine, self.config.program, owner and owner[0])
        self._ready = found if isinstance(found, Ready) else None
        text = found if isinstance(found, str) else f"{found.program.path} makes sandboxes"
        self._note(RuntimeState(ready=self._ready is not None, text=text))
        return self._ready

    def _note(self, state: RuntimeState) -> None:
        if self.state.ready and not state.ready:
            _log.error("runtime.not_ready", runtime=self.name, reason=state.text)
        elif state.ready and not self.state.ready:
            _log.info("runtime.ready", runtime=self.name)
        self.state = state


def _line(  # noqa: PLR0913 -- the descriptors are the last three
    runtime: BubblewrapRuntime,
    ready: Ready,
    spec: RunnerSpec,
    arguments: Sequence[str],
    *,
    report: int,
    info: int,
    seccomp: int | None,
) -> Sequence[str]:
    owner = sandbox_owner()
    wanted = Wanted(
        (*layout.etc(), *layout.python(), *layout.runner(), *layout.session(spec)),
        runtime.config.scratch,
        str(WORKSPACE / "agent"),
        seccomp,
        info,
    )
    return [*line(ready, wanted, owner and owner[0]), *_program(spec, report, "", arguments)]


def _program(spec: RunnerSpec, report: int, limits: str, arguments: Sequence[str]) -> Sequence[str]:
    """Return the command inside."""
    if spec.command:
        options, how = ["-I", "-S"], ["exec", *spec.command]
    else:
        options, how = ["-E", "-P", "-B"], ["module", "agent_runner", layout.module_paths()]
    return [layout.interpreter(), *options, layout.INSIDE, str(report), limits, *how, *arguments]


def _make(config: BubblewrapConfig, context: RuntimeContext) -> BubblewrapRuntime:
    return BubblewrapRuntime(config, context.runner.stop_grace_s, known_providers(context.runner))


BUBBLEWRAP = RuntimeFactory(BubblewrapConfig, _make)
"""The entry point `bubblewrap`."""
