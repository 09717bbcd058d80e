"""The protocol of runtimes: they start or adopt runners, report their deaths, and recover their databases."""

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Literal, Protocol, runtime_checkable

import trio
from attrs import Factory, frozen

from actors import Refusal
from nanoclaw.records import SessionPaths

WORKSPACE = PurePosixPath("/workspace")
"""Where a container sees the session; the contract's mounts are there and below (contract 1)."""
Network = Literal["full", "none"]


class StartFailed(Refusal):
    """A runner could not be started or could not recover; the text says why and what to do."""


@frozen
class Mount:
    """A folder or file of the host that a container sees."""

    source: Path
    target: PurePosixPath
    read_only: bool = True


@frozen
class Limits:
    """The most that a container may use; None: as much as there is."""

    memory_bytes: int | None = None
    processes: int | None = None
    cpus: float | None = None


@frozen
class RunnerSpec:
    """Everything that a runner's container needs.

    A runtime that cannot honour a part of it refuses to start the runner, and says why.
    """

    session_id: str
    paths: SessionPaths
    workspace: Path
    """The agent's own folder, its working directory."""
    provider: str
    environment: Mapping[str, str]
    """The contract's variables (contract 1) other than the paths, which each runtime sets for itself."""
    shared: Path | None = None
    """The folder that all agents may read; None: there is none."""
    image: str | None = None
    """None: the runtime's own."""
    mounts: tuple[Mount, ...] = ()
    """What the agent is given besides the contract's mounts."""
    user: int | None = None
    """None: whom contract 6 names."""
    limits: Limits = Factory(Limits)
    network: Network | None = None
    """None: what the runtime does by itself."""
    command: tuple[str, ...] = ()
    """What is started instead of our runner; it keeps docs/contract.md."""

    @property
    def all_mounts(self) -> tuple[Mount, ...]:
        """The contract's mounts and those the agent is given, outer ones first."""
        contract = [
            Mount(self.paths.outbound_dir, WORKSPACE, read_only=False),
            Mount(self.paths.inbound_dir, WORKSPACE / "in"),
            Mount(self.workspace, WORKSPACE / "agent", read_only=False),
        ]
        shared = [] if self.shared is None else [Mount(self.shared, WORKSPACE / "global")]
        return (*contract, *shared, *self.mounts)

    @property
    def fingerprint(self) -> str:
        """The hash that a container is labelled with as `nanoclaw.spec` (contract 1).

        A surviving container with another one has to be replaced. The environment is not in it: the rights of
        users are, and they may change while a container lives.
        """
        mounts = [[str(each.source), str(each.target), each.read_only] for each in self.all_mounts]
        limits = [self.limits.memory_bytes, self.limits.processes, self.limits.cpus]
        made_from = [self.image, mounts, self.user, limits, self.network, self.command, self.provider]
        return sha256(json.dumps(made_from).encode()).hexdigest()


@frozen
class Death:
    """How a runner ended. `orderly`: it was asked to, or left by itself without an error."""

    orderly: bool
    reason: str


class Runner(Protocol):
    """A living runner."""

    def stop(self) -> None:
        """Ask it to finish its commit and go; it is killed after the grace. Returns at once."""
        ...


class Runtime(Protocol):
    """Starts runners. One for each host."""

    @property
    def name(self) -> str:
        """As in the configuration."""
        ...

    def refusal(self, provider: str, /) -> str | None:
        """Return why this runtime runs no agent of a provider, and what to do; None: it runs them.

        The host asks at its start. `run` refuses by itself, with these words.
        """
        ...

    async def run(
        self, spec: RunnerSpec, /, *, task_status: trio.TaskStatus[Runner] = trio.TASK_STATUS_IGNORED
    ) -> Death:
        """Start a runner, report it started, and return when it is gone; on cancellation it is stopped first.

        Where a runner of that session outlived the last host, adopt that one instead; if it was started with
        another specification, stop it and start a new one. A session never has two runners.

        Raises:
            StartFailed: it could not be started.
        """
        ...

    async def survivors(self) -> Sequence[str]:
        """The ids of the sessions whose runners outlived the last host and wait to be adopted by `run`.

        Raises:
            StartFailed: that cannot be known now; they are adopted when their sessions have work.
        """
        ...

    async def recover(self, spec: RunnerSpec, /) -> None:
        """Let the runner, as its own user, roll back a hot journal of `outbound.db` (contract 6).

        Raises:
            StartFailed: it could not; the text has the runner's last words.
        """
        ...


@runtime_checkable
class ReportsUnhonoured(Protocol):
    """A runtime that says before a start what it cannot honour. `nanoclaw config check` asks it."""

    def unhonoured(self, spec: RunnerSpec, /) -> Sequence[str]:
        """Return the parts of a specification that it cannot honour, by their fields in `RunnerSpec`.

        `run` refuses to start a runner with any of them.
        """
        ...
