"""The keeper of a session's runner: starts it, watches its heartbeat, stops it, and counts its failures.

It owns the handle of the container and nothing else. It decides nothing about messages: the actor asks it
for a runner when there is work, and settles what a dead one left before it asks again.
"""

import os
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from pathlib import Path
from typing import Literal

import structlog
import trio
from attrs import Factory, define

from nanoclaw.records import ContainerStatus
from nanoclaw.runtimes import Death, Runner, RunnerSpec, Runtime, StartFailed

STUCK_S = 60.0
"""A claim without a heartbeat for this long (or the declared time-out of a tool) is a hang."""
MAX_BACKOFF_S = 60.0
SWEEP_S = 30.0
"""How often a session looks without being woken while its runner has work, which it may let lie."""

State = Literal["absent", "recovering", "running", "dead"]
_log = structlog.get_logger()


@define(eq=False)
class Heartbeat:
    """The runner's liveness, on the host's monotonic clock: a wall clock lies after a suspend."""

    file: Path
    _mtime_ns: int = -1
    _moved_at: float = 0.0

    def reset(self) -> None:
        """A runner starts: its time begins now."""
        self._moved_at = trio.current_time()

    def look(self) -> None:
        """See whether it moved since the last look."""
        try:
            mtime = os.lstat(self.file).st_mtime_ns
        except OSError:
            return
        if mtime != self._mtime_ns:
            self._mtime_ns = mtime
            self._moved_at = trio.current_time()

    def silent_for(self) -> float:
        """Seconds since it was last seen to move."""
        return trio.current_time() - self._moved_at


@define(eq=False)
class Keeper:
    """At most one runner."""

    runtime: Runtime
    nursery: trio.Nursery
    prepare: Callable[[], Awaitable[RunnerSpec]]
    """Makes the specification and writes the projections, at every start."""
    heartbeat: Heartbeat
    backoff_s: float
    """How long the first start after a failure waits."""
    state: State = "absent"
    death: Death | None = None
    """Of the last runner, until the actor has settled what it left."""
    lived: bool = False
    """Whether that one was ever started: else it left nothing, and one may live that nobody can reach now."""
    failures: int = 0
    last_failure: str | None = None
    not_before: float = float("-inf")
    """Monotonic; no start before this."""
    _runner: Runner | None = None
    _stopping: str | None = None
    _context: Context = Factory(copy_context)
    """Of the session: a runner is not part of the message that had it started."""

    def may_start(self) -> bool:
        """Whether the back-off of failed starts is over."""
        return trio.current_time() >= self.not_before

    def start(self, changed: Callable[[], None]) -> None:
        """Start or adopt a runner, in a task of its own; only when the last death is settled.

        `changed` is called when it is gone; it only signals.
        """
        self.state, self._stopping, self.lived = "running", None, False
        self.heartbeat.reset()
        self._context.run(self.nursery.start_soon, self._keep, changed)

    async def _keep(self, changed: Callable[[], None]) -> None:
        try:
            spec = await self.prepare()
            self.death = await self._run(spec)
        except* StartFailed as failed:  # in a group, where it comes out of the nursery
            self.death = Death(orderly=False, reason=str(failed.exceptions[0]))
        self.state, self._runner = "dead", None
        changed()

    async def _run(self, spec: RunnerSpec) -> Death:
        death: Death | None = None
        async with trio.open_nursery() as nursery:

            async def keep(*, task_status: trio.TaskStatus[Runner]) -> None:
                nonlocal death
                death = await self.runtime.run(spec, task_status=task_status)

            runner: Runner = await nursery.start(keep)
            self._runner, self.lived = runner, True
            _log.info("session.runner_started", runtime=self.runtime.name, provider=spec.provider)
            if self._stopping:
                runner.stop()
        return death or Death(orderly=False, reason="the runtime lost it")

    def stop(self, why: Literal["idle", "shutdown", "stuck", "quarantine"]) -> None:
        """Ask the runner to go; it is killed after the runtime's grace."""
        if self._stopping is None and self.state == "running":
            self._stopping = why
            _log.info("session.runner_stopping", why=why)
            if self._runner is not None:
                self._runner.stop()

    def recover(self, changed: Callable[[], None]) -> None:
        """Let the runner roll back a hot journal, in a task of its own; then `changed` is called."""
        self.state = "recovering"
        self._context.run(self.nursery.start_soon, self._recover, changed)

    async def _recover(self, changed: Callable[[], None]) -> None:
        try:
            await self.runtime.recover(await self.prepare())
        except StartFailed as error:
            self.count_failure(str(error))
        self.state = "dead"
        changed()

    def asked_to_go(self) -> bool:
        """Whether the death was wanted: it costs no message a try."""
        left_by_itself = self._stopping is None and self.death is not None and self.death.orderly
        return left_by_itself or self._stopping in {"idle", "shutdown"}

    @property
    def container_status(self) -> ContainerStatus:
        """As the central database calls it."""
        if self.state != "running":
            return "stopped"
        return "starting" if self._runner is None else "running"

    @property
    def stopping(self) -> bool:
        """Whether the runner was asked to go."""
        return self._stopping is not None

    def settled(self, *, useful: bool) -> None:
        """The actor has settled the last death. A life that was of no use delays the next start."""
        death, self.death, self.state = self.death, None, "absent"
        if useful:
            self.failures, self.last_failure = 0, None
        elif death is not None and self._stopping not in {"idle", "shutdown"}:
            self.count_failure(death.reason)

    def count_failure(self, reason: str) -> None:
        """Delay the next start, twice as long each time."""
        delay = min(MAX_BACKOFF_S, self.backoff_s * 2**self.failures)
        self.failures, self.last_failure = self.failures + 1, reason
        self.not_before = trio.current_time() + delay
        _log.error(
            "session.runner_failed",
            reason=reason,
            failures=self.failures,
            next_start_in_s=delay,
            advice="mend what the reason names; messages are kept, the first runner that works answers",
        )

    def watch(self, *, claims: bool, tool_timeout_s: float) -> None:
        """Stop a runner that hangs: a claim is open and its heartbeat has not moved for too long."""
        self.heartbeat.look()
        if claims and self.heartbeat.silent_for() > max(STUCK_S, tool_timeout_s):
            self.stop("stuck")
