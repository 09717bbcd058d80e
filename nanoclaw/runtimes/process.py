"""The `process` runtime: the runner as a child process. It isolates nothing.

The child's stdin is its lifeline: at EOF the runner finishes its commit and exits, so none outlives its host,
however that died. (`PR_SET_PDEATHSIG` fires when the spawning *thread* ends, so it cannot serve.)
`supervised.py` ends what the runner itself had started.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import trio
from attrs import frozen

from nanoclaw.runtimes.child import ProcessRunner
from nanoclaw.runtimes.factory import NoConfig, RuntimeContext, RuntimeFactory
from nanoclaw.runtimes.known_providers import ANY_PROVIDER, KnownProviders, known_providers
from nanoclaw.runtimes.protocol import Death, Limits, Packages, Runner, RunnerSpec, StartFailed
from nanoclaw.runtimes.stderr import StderrLog
from nanoclaw.runtimes.supervised import SupervisedProcess, external, kill_orphans, module, start
from nanoclaw.system.resources import PACKAGE, runner_dir, schema_dir

RECOVER_TIMEOUT_S = 30.0
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
    known: KnownProviders = ANY_PROVIDER
    """The providers that there are."""
    sessions: Path | None = None
    """The folder of the host's sessions. Processes that a killed host has left in them are killed."""
    name: str = "process"

    def refusal(self, provider: str) -> str | None:
        """Return the reason if the configuration does not allow this provider."""
        unusable = self.known.unusable(provider)
        if provider in self.allowed:
            return unusable
        known = f"but {', '.join(self.allowed)}" if self.allowed else "at all"
        why = f"the process runtime isolates nothing, so it runs no provider {known}"
        if provider not in self.known:
            return f"{why}; and {unusable}"
        return f"{why}; to run {provider!r} all the same, add it to [sandbox] process_providers"

    def unhonoured(self, spec: RunnerSpec) -> Mapping[str, str]:
        """Return the parts of a specification that need a sandbox."""
        parts = {
            "image": spec.image is not None,
            "mounts": bool(spec.mounts),
            "user": spec.user is not None,
            "limits": spec.limits != Limits(),
            "network": spec.network is not None and spec.network.mode != "open",
            "packages": spec.packages != Packages(),
        }
        advice = "remove it, or choose another [sandbox] runtime"
        return {part: advice for part, given in parts.items() if given}

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

    async def _spawn(self, spec: RunnerSpec, arguments: Sequence[str]) -> ProcessRunner[SupervisedProcess]:
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


def _make(_config: NoConfig, context: RuntimeContext) -> ProcessRuntime:
    return ProcessRuntime(
        context.runner.stop_grace_s,
        context.sandbox.process_providers,
        known=known_providers(context.runner),
        sessions=context.sessions,
    )


PROCESS = RuntimeFactory(
    NoConfig, _make, warning="this runtime isolates nothing: agents run as you, on your files"
)
"""The entry point `process`."""
