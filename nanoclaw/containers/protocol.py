"""What a runtime does: starts or adopts a session's runner, reports its death, and recovers its database."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import trio
from attrs import frozen

from actors import Refusal
from nanoclaw.records import SessionPaths


class StartFailed(Refusal):
    """A runner could not be started or could not recover; the text says why and what to do."""


@frozen
class RunnerSpec:
    """All that a runner is started with."""

    session_id: str
    paths: SessionPaths
    workspace: Path
    """The agent's own folder, its working directory."""
    provider: str
    environment: Mapping[str, str]
    """The contract's variables (contract 1) other than the paths, which each runtime sets for itself."""


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
