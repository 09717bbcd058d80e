"""The protocol of runtimes: they start or adopt runners, report their deaths, and recover their databases."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Protocol, runtime_checkable

import trio
from attrs import Factory, field, frozen

from actors import Refusal
from nanoclaw.records import SessionPaths
from nanoclaw.records.network import NetworkRule

WORKSPACE = PurePosixPath("/workspace")
"""The path of the session in a container. All mounts of the contract are at or below it (contract 1)."""

NO_CORE = 1
"""The limit of core dumps in a sandbox. With 0 the kernel would still pipe them to a program of the host."""


class StartFailed(Refusal):
    """A runner could not be started, or could not recover. The text says why and what to do."""


class NotNow(StartFailed):
    """A runner could not be started for now, through no fault of its session. Its messages wait.

    The start is tried again every few seconds. No message counts a try, and no user is told.
    """


class NothingLeft(NotNow):
    """Descriptors, memory, disk or processes are exhausted. Other sessions are asked to release theirs."""


@frozen
class Mount:
    """A folder or file of the host that a container sees."""

    source: Path
    """The folder or file of the host."""
    target: PurePosixPath
    """Its path in the container."""
    read_only: bool = True
    """False to let the container write there."""


@frozen
class Limits:
    """Upper bounds for a container. None sets no bound."""

    memory_bytes: int | None = None
    """Memory in bytes."""
    processes: int | None = None
    """The number of processes and threads."""
    cpus: float | None = None
    """Processor time: 0.5 is half of one processor."""
    disk_bytes: int | None = None
    """Space of the workspace and the session's `outbound` together. The host watches it, not the runtime."""


@frozen
class Packages:
    """Packages that the owner has approved for an agent, as their installers name them."""

    apt: tuple[str, ...] = ()
    pip: tuple[str, ...] = ()
    npm: tuple[str, ...] = ()


@frozen
class RunnerSpec:
    """Everything that a runner's container needs.

    A runtime that cannot honour a part of it must raise `StartFailed`, and name the part.
    """

    session_id: str
    """The session that it serves."""
    paths: SessionPaths
    """The session's files."""
    workspace: Path
    """The agent's own folder, its working directory."""
    provider: str
    """The name of the agent's provider."""
    environment: Mapping[str, str] = field(repr=False)
    """All variables of the runner other than the paths, which each runtime sets for itself (contract 1).

    Some are secrets: those of `[runtime] pass_env` and of `container.json`. Log no value.
    """
    shared: Path | None = None
    """The folder that all agents may read, if there is one."""
    image: str | None = None
    """The container's image. None selects the runtime's own."""
    mounts: tuple[Mount, ...] = ()
    """Mounts besides those of the contract."""
    user: int | None = None
    """The numeric user id. None selects the user that contract 6 names."""
    limits: Limits = Factory(Limits)
    """Upper bounds for its resources."""
    packages: Packages = Factory(Packages)
    """Packages besides those of the image or the system."""
    network: NetworkRule | None = None
    """The access to the network that the agent's `container.json` asks for. None asks for none of its own.

    A runtime that isolates gives no network in any case. The gateway enforces the rule at `paths.web_socket`.
    """
    gateway: bool = False
    """True if the gateway listens for it at `paths.model_socket`."""
    web: bool = False
    """True if the gateway listens for it at `paths.web_socket`, as a proxy of the web."""
    command: tuple[str, ...] = ()
    """The program to start instead of NanoClaw's own runner. It must keep docs/contract.md."""

    @property
    def all_mounts(self) -> tuple[Mount, ...]:
        """The mounts of the contract and of the agent, outer ones first."""
        contract = [
            Mount(self.paths.outbound_dir, WORKSPACE, read_only=False),
            Mount(self.paths.inbound_dir, WORKSPACE / "in"),
            Mount(self.workspace, WORKSPACE / "agent", read_only=False),
            Mount(self.paths.gateway_dir, WORKSPACE / "gateway"),
        ]
        shared = [] if self.shared is None else [Mount(self.shared, WORKSPACE / "global")]
        return (*contract, *shared, *self.mounts)

    @property
    def fingerprint(self) -> str:
        """The hash that a container is labelled with as `nanoclaw.spec` (contract 1).

        A surviving container with another fingerprint must be replaced. Of the environment only the settings
        of the model count: it also has the rights of users, which may change while a container lives.
        """
        mounts = [[str(each.source), str(each.target), each.read_only] for each in self.all_mounts]
        limits = [self.limits.memory_bytes, self.limits.processes, self.limits.cpus]
        packages = [self.packages.apt, self.packages.pip, self.packages.npm]
        made_from = [self.image, mounts, self.user, limits, self.web, self.command, self.provider, packages]
        made_from.append(self.environment.get("NANOCLAW_MODEL_SETTINGS"))
        return sha256(json.dumps(made_from).encode()).hexdigest()


@frozen
class Death:
    """The end of a runner."""

    orderly: bool
    """True if it exited without an error."""
    reason: str
    """A description of its end, for people."""


@frozen
class Hindered(Death):
    """The end or failed start of a runner because the system was short of something, such as descriptors.

    It does not count as a try of a message, and no user is told.
    """


class Runner(Protocol):
    """A living runner."""

    def stop(self) -> None:
        """Ask it to finish its commit and go; it is killed after the grace. Returns at once."""
        ...


class Runtime(Protocol):
    """Starts runners. One for each host."""

    @property
    def name(self) -> str:
        """The runtime's name in the configuration."""
        ...

    def refusal(self, provider: str, /) -> str | None:
        """Return why this runtime runs no agent of a provider, and what to do. None means that it runs them.

        The host asks at its start. `run` must refuse with the same text.
        """
        ...

    async def run(
        self, spec: RunnerSpec, /, *, task_status: trio.TaskStatus[Runner] = trio.TASK_STATUS_IGNORED
    ) -> Death:
        """Start a runner, report it started, and return when it is gone; on cancellation it is stopped first.

        If a runner of that session outlived the last host, adopt it instead. If that one was started with
        another specification, stop it and start a new one. A session never has two runners.

        Raises:
            StartFailed: it could not be started.
        """
        ...

    async def survivors(self) -> Sequence[str]:
        """Return the ids of sessions whose runners outlived the last host. `run` adopts those runners.

        Raises:
            StartFailed: they cannot be listed now. They are adopted when their sessions have work.
        """
        ...

    async def recover(self, spec: RunnerSpec, /) -> None:
        """Let the runner roll back a hot journal of `outbound.db` as its own user (contract 6).

        Raises:
            StartFailed: it failed. The text has the last lines of the runner's stderr.
        """
        ...


@runtime_checkable
class ReportsUnhonoured(Protocol):
    """A runtime that says before a start what it cannot honour. `nanoclaw config check` asks it."""

    def unhonoured(self, spec: RunnerSpec, /) -> Mapping[str, str]:
        """Return what it cannot honour by keys of `container.json`, such as `packages.apt`, with what to do.

        `run` refuses to start a runner with any of them.
        """
        ...


@runtime_checkable
class Prepares(Protocol):
    """A runtime that can make what a specification needs before a runner starts with it."""

    async def prepare(self, spec: RunnerSpec, /) -> None:
        """Build the image of a specification, or install its packages. Return when they are there.

        It uses the agent's workspace, image and packages alone.

        Raises:
            NotNow: it is not possible now.
            StartFailed: it has failed. The text says why.
        """
        ...


@runtime_checkable
class Isolates(Protocol):
    """A runtime that says if it isolates its runners. One that does not say so isolates nothing."""

    @property
    def isolates(self) -> bool:
        """True if a runner reaches only what its specification names, so that it may have a shell.

        Such a runtime sets `NANOCLAW_SANDBOX=1` (contract 1), and gives its runners no network.
        """
        ...


def isolates(runtime: Runtime) -> bool:
    """Return True if a runtime isolates its runners."""
    return isinstance(runtime, Isolates) and runtime.isolates


@frozen
class RuntimeState:
    """The state of a runtime as a whole, such as that of its engine."""

    ready: bool
    """False while no runner can start. Sessions wait, and no message counts a try."""
    text: str
    """The state in words: what it is, and what to do if it is not ready."""


@runtime_checkable
class ReportsState(Protocol):
    """A runtime with a state of its own. `nanoclaw status` shows it."""

    @property
    def state(self) -> RuntimeState:
        """The present state. Reading it does not block."""
        ...


def state_of(runtime: Runtime) -> RuntimeState | None:
    """Return the state of a runtime, if it has one of its own."""
    return runtime.state if isinstance(runtime, ReportsState) else None


@frozen
class KeptLine:
    """A line that a runner has written to stdout or stderr."""

    at: datetime
    """When it was written."""
    text: str


@runtime_checkable
class KeepsOutput(Protocol):
    """A runtime that keeps what runners write, also without a host. `nanoclaw logs` shows it."""

    async def output(self, session_id: str, /) -> Sequence[KeptLine]:
        """Return the last lines of a session's runner, which may have ended. Their number is bounded.

        Raises:
            NotNow: they cannot be read now.
        """
        ...


@runtime_checkable
class Served(Protocol):
    """A runtime with work of its own beside its runners, such as watching its engine."""

    async def serve(self, install_id: str, /) -> None:
        """Work for a host until it is cancelled. The host runs this as an actor, before any runner starts.

        `install_id` names the host's installation, so that several may share an engine. An error restarts it.
        """
        ...
