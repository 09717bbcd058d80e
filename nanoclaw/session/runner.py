"""The runner of a session as a state: its condition now, and its failures so far.

This module has all transitions. They have no side effects: the session's shell starts, stops and recovers
runners.
"""

from datetime import datetime
from math import inf
from typing import Literal

from attrs import evolve, frozen

from nanoclaw.records import ContainerStatus
from nanoclaw.runtimes import Death, Hindered
from nanoclaw.store.session.outbound import RunnerKind

STUCK_S = 60.0
"""Seconds without a heartbeat, while a claim is open, after which a runner counts as hanging."""
EVENTS_STUCK_S = 1800.0
"""The same if a foreign runner's heartbeat is newer than its claim: it may beat at a model's events only."""
MAX_BACKOFF_S = 60.0
HINDERED_BACKOFF_S = 2.0
"""Longest delay after a `Hindered` start. Another session may release what was short."""

StopReason = Literal["idle", "shutdown", "stuck", "quarantine"]
WANTED: frozenset[StopReason] = frozenset({"idle", "shutdown"})
"""Reasons for a stop after which a death costs no message a try."""


@frozen
class Dead:
    """The runner has ended, and its death is not settled yet."""

    death: Death | None = None
    """None if only a recovery has ended."""
    lived: bool = False
    """True if it was up. Otherwise it left nothing to settle."""
    stopped: StopReason | None = None
    noticed: bool = False
    """True if a look has begun since. That look reads the last acks."""

    @property
    def wanted(self) -> bool:
        """True if it was stopped on purpose, or ended without an error. That costs no message a try."""
        if self.stopped is not None or self.death is None:
            return self.stopped in WANTED
        return self.hindered or self.death.orderly

    @property
    def hindered(self) -> bool:
        """True if it died because the system was short of something."""
        return isinstance(self.death, Hindered)


@frozen
class Absent:
    """There is no runner, and the last death is settled."""

    lived: bool = False
    """True if the last one was up. Its claims may still be in outbound.db."""


@frozen
class Starting:
    """The runtime is starting the runner and has not reported it yet."""

    waits: bool = False
    """True if the start waits for a place among the running sandboxes."""


@frozen
class Running:
    """The runner is up."""


@frozen
class Stopping:
    """The runner is being stopped."""

    why: StopReason
    up: bool
    """True if the runtime has reported it. Otherwise it is stopped as soon as it is up."""


@frozen
class Recovering:
    """A runner only rolls back a hot journal of outbound.db."""

    before: Absent | Dead


Condition = Absent | Starting | Running | Stopping | Recovering | Dead


class IllegalTransition(Exception):
    """A bug: the runner's task reported an event that cannot happen now."""


@frozen
class Runner:
    """The state of at most one runner. Times are on the monotonic clock."""

    condition: Condition = Absent()
    failures: int = 0
    """Consecutive failed starts and useless runs."""
    last_failure: str | None = None
    not_before: float = -inf
    """The time before which no runner starts."""
    useful: bool = False
    """True if it has acked or sent anything in this run."""
    tool_timeout_s: float = 0.0
    """The declared time-out in seconds of the tool that it runs."""
    unclaimed_since: float | None = None
    """The time since which due work has been unclaimed."""
    heartbeat: int | None = None
    """The modification time of the heartbeat file at the last read, in nanoseconds."""
    heartbeat_moved_at: float = 0.0
    claimed_at: float = -inf
    """The time at which a look last found a new claim."""
    kind: RunnerKind = "ours"
    outdated: bool = False
    """True if its configuration has changed since it was started. It ends between two turns."""

    # -- its condition

    @property
    def absent(self) -> bool:
        """True if there is no runner, and the last death is settled."""
        return isinstance(self.condition, Absent)

    @property
    def alive(self) -> bool:
        """True if there is a runner: starting, up, or stopping."""
        return isinstance(self.condition, Starting | Running | Stopping)

    @property
    def waits(self) -> bool:
        """True if its start waits for a place."""
        return self.condition == Starting(waits=True)

    @property
    def container_status(self) -> ContainerStatus:
        """The condition as the central database names it."""
        match self.condition:
            case Running() | Stopping(up=True):
                return "running"
            case Starting() | Stopping():
                return "starting"
            case _:
                return "stopped"

    def may_start(self, monotonic: float) -> bool:
        """Return True if the back-off after failures is over."""
        return monotonic >= self.not_before

    def hangs(self, claimed: datetime, monotonic: float) -> bool:
        """Return True if the heartbeat has not moved for too long. It counts only while a claim is open.

        `claimed` is the time of the newest claim, on the clock that dates the heartbeat file.
        """
        quiet_s = monotonic - max(self.heartbeat_moved_at, self.claimed_at)
        spared = self.kind == "foreign" and (self.heartbeat or 0) > claimed.timestamp() * 1e9
        return quiet_s > max(EVENTS_STUCK_S if spared else STUCK_S, self.tool_timeout_s)

    # -- transitions

    def wait(self, monotonic: float, *, waits: bool) -> "Runner":
        """Note that the start waits for a place, or goes on."""
        if not isinstance(self.condition, Starting):
            return self
        return evolve(self, condition=Starting(waits), heartbeat_moved_at=monotonic)

    def start(self, monotonic: float) -> "Runner":
        """Begin a start. The last death must be settled."""
        return evolve(self, condition=Starting(), heartbeat_moved_at=monotonic, outdated=False)

    def started(self) -> "Runner":
        """Apply the runtime's report that it is up."""
        match self.condition:
            case Starting():
                return evolve(self, condition=Running())
            case Stopping(why, up=False):
                return evolve(self, condition=Stopping(why, up=True))
            case condition:
                raise IllegalTransition(f"the runtime reported a start, but the runner is {condition}")

    def outdate(self) -> "Runner":
        """Note that its configuration has changed. One that waits for its place has not read it yet."""
        if isinstance(self.condition, Starting | Running) and not self.waits:
            return evolve(self, outdated=True)
        return self

    def stop(self, why: StopReason) -> "Runner":
        """Begin a stop. Return the same value if there is no runner, or it is stopping already."""
        match self.condition:
            case Starting() | Running() as condition:
                return evolve(self, condition=Stopping(why, up=isinstance(condition, Running)))
            case _:
                return self

    def ended(self, death: Death) -> "Runner":
        """Apply its death, which must be settled next."""
        return evolve(self._ended(death), outdated=False)

    def _ended(self, death: Death) -> "Runner":
        match self.condition:
            case Starting():
                return evolve(self, condition=Dead(death))
            case Running():
                return evolve(self, condition=Dead(death, lived=True))
            case Stopping(why, up):
                return evolve(self, condition=Dead(death, up, why))
            case condition:
                raise IllegalTransition(f"the runtime reported a death, but the runner is {condition}")

    def recover(self) -> "Runner":
        """Begin a recovery of a hot journal."""
        match self.condition:
            case Absent() | Dead() as before:
                return evolve(self, condition=Recovering(before))
            case condition:
                raise IllegalTransition(f"outbound.db cannot be recovered while the runner is {condition}")

    def recovered(self) -> "Runner":
        """End a recovery. The next look reads the file."""
        match self.condition:
            case Recovering(Dead() as before):
                return evolve(self, condition=evolve(before, noticed=False))
            case Recovering(Absent(lived)):
                return evolve(self, condition=Dead(lived=lived))
            case condition:
                raise IllegalTransition(f"a recovery ended, but the runner is {condition}")

    def noticed(self) -> "Runner":
        """Note that a look begins. If the runner is dead, all its acks are read when that look ends."""
        match self.condition:
            case Dead() as dead:
                return evolve(self, condition=evolve(dead, noticed=True))
            case _:
                return self

    def settled(self) -> "Runner":
        """End its death, which is settled."""
        match self.condition:
            case Dead(lived=lived):
                runner = evolve(self, failures=0, last_failure=None) if self.useful else self
                return evolve(runner, condition=Absent(lived), useful=False)
            case condition:
                raise IllegalTransition(f"a death was settled, but the runner is {condition}")

    def failed(
        self, reason: str, backoff_s: float, monotonic: float, longest_s: float = MAX_BACKOFF_S
    ) -> "Runner":
        """Count a failure. It delays the next start, twice as long each time, up to `longest_s`."""
        delay = min(longest_s, backoff_s * 2**self.failures)
        return evolve(self, failures=self.failures + 1, last_failure=reason, not_before=monotonic + delay)

    def without_failures(self) -> "Runner":
        """Clear its failures, so that the next start has no back-off."""
        return evolve(self, failures=0, last_failure=None, not_before=-inf)

    # -- heartbeat

    def look(self, heartbeat: int | None, monotonic: float) -> "Runner":
        """Apply a read of the heartbeat file. None means that it could not be read."""
        if heartbeat is None or heartbeat == self.heartbeat:
            return self
        return evolve(self, heartbeat=heartbeat, heartbeat_moved_at=monotonic)
