"""The supervisor of a session's runner: starts it, stops it, reads its heartbeat, and reports its death.

It owns the handle of the container and nothing else. It decides nothing: the session's core asks for a runner
when there is work, and settles what a dead one left before it asks again.
"""

import os
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from pathlib import Path

import structlog
import trio
from attrs import Factory, define

from nanoclaw.runtimes import Death, Runner, RunnerSpec, Runtime, StartFailed
from nanoclaw.session.events import RecoveryEnded, RunnerEnded, RunnerStarted

Report = Callable[[RunnerStarted | RunnerEnded | RecoveryEnded], None]
"""Told of what happens to the runner, at once."""

_log = structlog.get_logger()


@define(eq=False)
class RunnerSupervisor:
    """At most one runner."""

    runtime: Runtime
    nursery: trio.Nursery
    prepare: Callable[[], Awaitable[RunnerSpec]]
    """Makes the specification and writes the projections, at every start."""
    heartbeat_file: Path
    _runner: Runner | None = None
    _context: Context = Factory(copy_context)
    """The session's: a runner is not part of the message that had it started."""

    def start(self, report: Report) -> None:
        """Start or adopt a runner, in a task of its own; only when the last one is gone."""
        self._context.run(self.nursery.start_soon, self._supervise, report)

    def stop(self) -> None:
        """Ask the runner to go, if it is up; it is killed after the runtime's grace."""
        if self._runner is not None:
            self._runner.stop()

    def recover(self, report: Report) -> None:
        """Let the runner roll back a hot journal, in a task of its own."""
        self._context.run(self.nursery.start_soon, self._recover, report)

    def heartbeat(self) -> int | None:
        """Read when the runner last gave a sign of life, in nanoseconds; None: the file cannot be read.

        Only that it changes counts, on the host's monotonic clock: a wall clock lies after a suspend.
        """
        try:
            return os.lstat(self.heartbeat_file).st_mtime_ns
        except OSError:
            return None

    async def _supervise(self, report: Report) -> None:
        try:
            death = await self._run(await self.prepare(), report)
        except* StartFailed as failed:  # in a group, where it comes out of the nursery
            death = Death(orderly=False, reason=str(failed.exceptions[0]))
        self._runner = None
        report(RunnerEnded(death))

    async def _run(self, spec: RunnerSpec, report: Report) -> Death:
        death: Death | None = None
        async with trio.open_nursery() as nursery:

            async def run(*, task_status: trio.TaskStatus[Runner]) -> None:
                nonlocal death
                death = await self.runtime.run(spec, task_status=task_status)

            self._runner = await nursery.start(run)
            _log.info("session.runner_started", runtime=self.runtime.name, provider=spec.provider)
            report(RunnerStarted())
        return death or Death(
            orderly=False, reason="the runtime ended without reporting how the runner ended"
        )

    async def _recover(self, report: Report) -> None:
        failure: str | None = None
        try:
            await self.runtime.recover(await self.prepare())
        except StartFailed as error:
            failure = str(error)
        report(RecoveryEnded(failure))
