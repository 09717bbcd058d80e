"""The runner of a session, as a state: what it is now, and what its lives came to.

All transitions are here. None of them does anything: the session's shell starts, stops and recovers runners.
"""

from math import inf
from typing import Literal

from attrs import evolve, frozen

from nanoclaw.records import ContainerStatus
from nanoclaw.runtimes import Death

STUCK_S = 60.0
"""A claim without a heartbeat for this long (or the declared time-out of a tool) is a hang."""
MAX_BACKOFF_S = 60.0

StopReason = Literal["idle", "shutdown", "stuck", "quarantine"]
WANTED: frozenset[StopReason] = frozenset({"idle", "shutdown"})
"""A death after a stop for one of these costs no message a try."""


@frozen
class Dead:
    """It is gone, and its death is not settled yet."""

    death: Death | None = None
    """None: only a recovery has ended."""
    lived: bool = False
    """Whether it was ever up: else it left nothing."""
    stopped: StopReason | None = None
    noticed: bool = False
    """Whether a look has begun since: it reads the last acks."""

    @property
    def wanted(self) -> bool:
        """Whether it was asked to go, or left without an error: that costs no message a try."""
        left_by_itself = self.stopped is None and self.death is not None and self.death.orderly
        return left_by_itself or self.stopped in WANTED


@frozen
class Absent:
    """There is none, and the last death is settled."""

    lived: bool = False
    """Whether the last one was ever up: its claims may still stand in outbound.db."""


@frozen
class Starting:
    """It was asked for; the runtime has not reported it yet."""


@frozen
class Running:
    """It is up."""


@frozen
class Stopping:
    """It was asked to go."""

    why: StopReason
    up: bool
    """Whether the runtime has reported it: if not, it is stopped once it is there."""


@frozen
class Recovering:
    """A runner rolls back a hot journal of outbound.db, and does nothing else."""

    before: Absent | Dead


Condition = Absent | Starting | Running | Stopping | Recovering | Dead


class IllegalTransition(Exception):
    """A bug: the runner's task reports something that cannot happen now."""


@frozen
class Runner:
    """At most one runner. Moments are on the monotonic clock."""

    condition: Condition = Absent()
    failures: int = 0
    """Starts or lives in a row that came to nothing."""
    last_failure: str | None = None
    not_before: float = -inf
    """No start before this moment."""
    useful: bool = False
    """Whether it has settled or sent anything in this life."""
    tool_timeout_s: float = 0.0
    """The declared time-out of the tool that it is in."""
    unclaimed_since: float | None = None
    """The moment since which work has waited for it, without a claim."""
    heartbeat: int | None = None
    """The modification time of the heartbeat file when it was last read, in nanoseconds."""
    heartbeat_moved_at: float = 0.0

    # -- what it is

    @property
    def absent(self) -> bool:
        """Say whether there is none, and the last death is settled."""
        return isinstance(self.condition, Absent)

    @property
    def alive(self) -> bool:
        """Say whether there is one: starting, up, or on its way out."""
        return isinstance(self.condition, Starting | Running | Stopping)

    @property
    def container_status(self) -> ContainerStatus:
        """The state as the central database calls it."""
        match self.condition:
            case Running() | Stopping(up=True):
                return "running"
            case Starting() | Stopping():
                return "starting"
            case _:
                return "stopped"

    def may_start(self, monotonic: float) -> bool:
        """Say whether the back-off of failed starts is over."""
        return monotonic >= self.not_before

    def hangs(self, monotonic: float) -> bool:
        """Say whether its heartbeat has not moved for too long; that counts only while a claim is open."""
        return monotonic - self.heartbeat_moved_at > max(STUCK_S, self.tool_timeout_s)

    # -- its life

    def start(self, monotonic: float) -> "Runner":
        """Ask for one; only when the last death is settled."""
        return evolve(self, condition=Starting(), heartbeat_moved_at=monotonic)

    def started(self) -> "Runner":
        """Follow the runtime's report that it is up."""
        match self.condition:
            case Starting():
                return evolve(self, condition=Running())
            case Stopping(why, up=False):
                return evolve(self, condition=Stopping(why, up=True))
            case condition:
                raise IllegalTransition(f"the runtime reported a start, but the runner is {condition}")

    def stop(self, why: StopReason) -> "Runner":
        """Ask it to go; unchanged where there is none, or it was asked before."""
        match self.condition:
            case Starting() | Running() as condition:
                return evolve(self, condition=Stopping(why, up=isinstance(condition, Running)))
            case _:
                return self

    def ended(self, death: Death) -> "Runner":
        """Follow its death, which is to be settled."""
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
        """Have a hot journal rolled back."""
        match self.condition:
            case Absent() | Dead() as before:
                return evolve(self, condition=Recovering(before))
            case condition:
                raise IllegalTransition(f"outbound.db cannot be recovered while the runner is {condition}")

    def recovered(self) -> "Runner":
        """Follow the end of a recovery: the next look reads what the file holds now."""
        match self.condition:
            case Recovering(Dead() as before):
                return evolve(self, condition=evolve(before, noticed=False))
            case Recovering(Absent(lived)):
                return evolve(self, condition=Dead(lived=lived))
            case condition:
                raise IllegalTransition(f"a recovery ended, but the runner is {condition}")

    def noticed(self) -> "Runner":
        """Begin a look: if it is dead, all its acks are read at the end of that look."""
        match self.condition:
            case Dead() as dead:
                return evolve(self, condition=evolve(dead, noticed=True))
            case _:
                return self

    def settled(self) -> "Runner":
        """Follow the settlement of its death."""
        match self.condition:
            case Dead(lived=lived):
                calm = evolve(self, failures=0, last_failure=None) if self.useful else self
                return evolve(calm, condition=Absent(lived), useful=False)
            case condition:
                raise IllegalTransition(f"a death was settled, but the runner is {condition}")

    def failed(self, reason: str, backoff_s: float, monotonic: float) -> "Runner":
        """Count a failure, which delays the next start, twice as long each time."""
        delay = min(MAX_BACKOFF_S, backoff_s * 2**self.failures)
        return evolve(self, failures=self.failures + 1, last_failure=reason, not_before=monotonic + delay)

    def without_failures(self) -> "Runner":
        """Forget its failures, so that the next start waits for nothing."""
        return evolve(self, failures=0, last_failure=None, not_before=-inf)

    # -- signs of it

    def look(self, heartbeat: int | None, monotonic: float) -> "Runner":
        """Follow its heartbeat; None: the file could not be read."""
        if heartbeat is None or heartbeat == self.heartbeat:
            return self
        return evolve(self, heartbeat=heartbeat, heartbeat_moved_at=monotonic)
