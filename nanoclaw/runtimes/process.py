"""The `process` runtime: the runner as a child process. It isolates nothing.

The child's stdin is its lifeline: at EOF the runner finishes its commit and exits, so none outlives its host,
however that died. (`PR_SET_PDEATHSIG` fires when the spawning *thread* ends, so it cannot serve.)
`supervised.py` ends what the runner itself had started.
"""

import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

import trio
from attrs import Factory, define, frozen

from nanoclaw.config.entry_points import installed
from nanoclaw.config.nearest import nearest
from nanoclaw.gateway.providers import KNOWN, missing_extra
from nanoclaw.runtimes.factory import NoConfig, RuntimeContext, RuntimeFactory
from nanoclaw.runtimes.protocol import Death, Limits, Packages, Runner, RunnerSpec, StartFailed
from nanoclaw.runtimes.stderr import StderrLog
from nanoclaw.runtimes.supervised import SupervisedProcess, external, kill_orphans, module, start
from nanoclaw.system.resources import PACKAGE, runner_dir, schema_dir

RECOVER_TIMEOUT_S = 30.0
DRAIN_S = 0.5
"""The longest wait for the rest of a dead runner's stderr. The runner's children may hold it open."""
BUILT_IN = tuple(KNOWN)
"""The providers that come with the runner. Others are entry points of the group `PROVIDERS`."""
PROVIDERS = "nanoclaw.providers"
PASSED_ON = ("PATH", "LANG", "LC_ALL")
"""The variables that a runner inherits. The rest of the host's environment may hold secrets."""


@frozen
class ProcessRuntime:
    """Runs runners as children of this process.

    `allowed` names the providers that may run without isolation. `command` replaces the runner of every
    specification, for tests.
    """

    grace_s: float = 1.5
    allowed: tuple[str, ...] = ("echo",)
    command: tuple[str, ...] | None = None
    known: tuple[str, ...] | None = None
    """The providers that there are. None stands for a runner of one's own, which may have any."""
    sessions: Path | None = None
    """The folder of the host's sessions. Processes that a killed host has left in them are killed."""
    name: str = "process"

    def refusal(self, provider: str) -> str | None:
        """Return the reason if the configuration does not allow this provider."""
        exists = self.known is None or provider in self.known
        if provider in self.allowed:
            return self._uninstalled(provider) if exists else self._missing(provider)
        known = f"but {', '.join(self.allowed)}" if self.allowed else "at all"
        why = f"the process runtime isolates nothing, so it runs no provider {known}"
        if not exists:
            return f"{why}; and {self._missing(provider)}"
        return f"{why}; to run {provider!r} all the same, add it to [sandbox] process_providers"

    def _uninstalled(self, provider: str) -> str | None:
        """Return why our own runner cannot load a provider of its own."""
        extra = None if self.known is None else missing_extra(provider)
        if extra is None:
            return None
        install = f"pip install 'nanoclaw[{extra}]'"
        return f"the provider {provider!r} needs a package that is not installed: {install}"

    def _missing(self, provider: str) -> str:
        known = self.known or ()
        near = nearest(provider, known) or "."
        return f"there is no provider {provider!r}{near} {_offered(known)}"

    def unhonoured(self, spec: RunnerSpec) -> Sequence[str]:
        """Return the parts of a specification that need a container."""
        parts = {
            "image": spec.image is not None,
            "mounts": bool(spec.mounts),
            "user": spec.user is not None,
            "limits": spec.limits != Limits(),
            "network": spec.network is not None and spec.network.mode != "open",
            "packages": spec.packages != Packages(),
        }
        return [part for part, given in parts.items() if given]

    async def run(
        self, spec: RunnerSpec, *, task_status: trio.TaskStatus[Runner] = trio.TASK_STATUS_IGNORED
    ) -> Death:
        """Start a runner, report it started, and return when it is gone; on cancellation it is stopped first.

        Raises:
            StartFailed: the provider is not allowed here, or the process cannot be started.
        """
        runner = await self._spawn(spec, ())
        await runner.live(task_status)
        return runner.death()

    async def survivors(self) -> Sequence[str]:
        """Return no session: without its host a runner reads EOF on its lifeline and exits.

        Processes whose init process was killed together with the host are killed here.
        """
        if self.sessions is not None:
            await trio.to_thread.run_sync(kill_orphans, self.sessions)
        return ()

    async def recover(self, spec: RunnerSpec) -> None:
        """Run the runner once with `recover`.

        Raises:
            StartFailed: it failed or took longer than `RECOVER_TIMEOUT_S`.
        """
        runner = await self._spawn(spec, ("recover",))
        with trio.move_on_after(RECOVER_TIMEOUT_S):
            await runner.live(trio.TASK_STATUS_IGNORED)
        if runner.process.returncode != 0:
            raise StartFailed(f"outbound.db could not be recovered: {runner.death().reason}")

    async def _spawn(self, spec: RunnerSpec, arguments: Sequence[str]) -> "ProcessRunner":
        self._require(spec)
        own = self.command or spec.command
        program = external((*own, *arguments)) if own else module("agent_runner", arguments)
        process, lifeline = await start(program, spec.workspace, _environment(spec), self.grace_s)
        return ProcessRunner(process, lifeline, self.grace_s, StderrLog(spec.session_id))

    def _require(self, spec: RunnerSpec) -> None:
        """Refuse what this runtime may not or cannot run."""
        if (refusal := self.refusal(spec.provider)) is not None:
            raise StartFailed(refusal)
        if parts := ", ".join(self.unhonoured(spec)):
            raise StartFailed(
                f"the process runtime isolates nothing, so it cannot honour {parts} of the agent's "
                "container.json; remove that there, or choose another [sandbox] runtime"
            )


def _environment(spec: RunnerSpec) -> Mapping[str, str]:
    return {
        **{name: os.environ[name] for name in PASSED_ON if name in os.environ},
        **spec.environment,
        "SESSION_INBOUND_DB_PATH": str(spec.paths.inbound_db),
        "SESSION_OUTBOUND_DB_PATH": str(spec.paths.outbound_db),
        "SESSION_HEARTBEAT_PATH": str(spec.paths.heartbeat),
        "NANOCLAW_WORKSPACE": str(spec.workspace),
        "NANOCLAW_SCHEMA_DIR": str(schema_dir()),
        "NANOCLAW_LIFELINE": "stdin",
        "PYTHONPATH": _python_path(),
        **({} if spec.shared is None else {"NANOCLAW_SHARED": str(spec.shared)}),
        **({"NANOCLAW_MODEL_SOCKET": str(spec.paths.model_socket)} if spec.gateway else {}),
    }


def _python_path() -> str:
    """Return the host's own path and the runner's folder, as absolute paths: the working directory differs.

    If the runner is installed beside the host, Python finds it without help. Naming that folder would put all
    other installed packages before the standard library.
    """
    ours = [os.path.abspath(each) for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]  # noqa: PTH100 -- links stay
    runner = [] if runner_dir() == PACKAGE.parent else [str(runner_dir())]
    return os.pathsep.join([*runner, *ours])


@define(eq=False)
class ProcessRunner:
    """A child process, the host's end of its lifeline, and its stderr."""

    process: SupervisedProcess
    lifeline: int
    grace_s: float
    log: StderrLog
    asked: trio.Event = Factory(trio.Event)

    def stop(self) -> None:
        """Ask it to finish its commit and go; it is killed after the grace. Returns at once."""
        if not self.asked.is_set():
            self.asked.set()
            os.close(self.lifeline)

    async def live(self, task_status: trio.TaskStatus[Runner]) -> None:
        """Log its stderr until it is gone; on cancellation it is stopped first."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._drain)
            try:
                task_status.started(self)
                await self._gone()
            finally:
                self.stop()
                with trio.CancelScope(shield=True):
                    await self._gone()
                    await self.process.end()
            nursery.cancel_scope.deadline = trio.current_time() + DRAIN_S

    async def _drain(self) -> None:
        if self.process.stderr is not None:
            await self.log.drain(self.process.stderr)

    async def _gone(self) -> None:
        """Wait for its death, which the kernel reports at once."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._kill_after_grace)
            await self.process.wait()
            nursery.cancel_scope.cancel()

    async def _kill_after_grace(self) -> None:
        await self.asked.wait()
        await trio.sleep(self.grace_s)
        await self.process.kill_all()

    def death(self) -> Death:
        """Return how it ended. It must be gone."""
        code = self.process.returncode
        if code is not None and code < 0:
            how = f"the runner was killed by {_signal_name(-code)}"
        else:
            how = f"the runner ended with status {code}"
        first = f"{self.log.failure.rstrip('.')} ({how})" if code and self.log.failure else how
        words = "".join(f"\n  {line}" for line in self.log.last_words)
        return Death(orderly=code == 0, reason=first + words)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"


def _offered(known: Sequence[str]) -> str:
    return (
        f"Known: {', '.join(known)}. Choose one of these, or install the package that provides it beside "
        f"NanoClaw: one with an entry point of that name in the group {PROVIDERS}"
    )


def _make(_config: NoConfig, context: RuntimeContext) -> ProcessRuntime:
    known = None if context.runner.command else tuple(sorted({*BUILT_IN, *installed(PROVIDERS)}))
    return ProcessRuntime(
        context.runner.stop_grace_s, context.sandbox.process_providers, known=known, sessions=context.sessions
    )


PROCESS = RuntimeFactory(
    NoConfig, _make, warning="this runtime isolates nothing: agents run as you, on your files"
)
"""The entry point `process`."""
