"""When a crashed actor is started again, after how long, and when it is given up."""

from collections import deque
from random import Random
from typing import Final

from attrs import field, frozen
from attrs.validators import ge, gt

from actors._errors import Crashed, Stopped, leaves


@frozen
class Backoff:
    """How long the n-th restart in a row waits: `first * factor ** (n - 1)`, at most `ceiling` (seconds).

    `jitter` is the fraction by which a wait is lengthened or shortened at random.
    """

    first: float = field(default=0.1, validator=ge(0))
    factor: float = field(default=2.0, validator=ge(1))
    ceiling: float = field(default=30.0, validator=ge(0))
    jitter: float = field(default=0.1, validator=ge(0))


@frozen
class Bury:
    """Give up on the actor alone. Messages get `Stopped`; after `retry_after` seconds it starts afresh.

    With None it stays buried until it is stopped.
    """

    retry_after: float | None


@frozen
class Escalate:
    """Give up on the whole supervisor: siblings are stopped in order, `open_supervisor` raises `GaveUp`."""


@frozen
class Policy:
    """How an actor is supervised.

    More than `intensity` crashes within `period` seconds, or one of a `fatal` type, and it is given up.
    `capacity` bounds its mailbox, `batch` the messages that `handle_all` gets at once.
    """

    capacity: int = field(default=64, validator=gt(0))
    batch: int = field(default=64, validator=gt(0))
    intensity: int = field(default=3, validator=ge(0))
    period: float = field(default=5.0, validator=gt(0))
    backoff: Backoff = Backoff()
    give_up: Bury | Escalate = Escalate()
    fatal: tuple[type[Exception], ...] = ()


DEFAULT: Final = Policy()
"""What a supervisor uses that is told nothing else."""

NEVER: Final = None
"""The delay of a restart that will not be."""


class Restarts:
    """The account of one actor's crashes. Times are seconds of one clock, whichever."""

    def __init__(self, actor: str, policy: Policy, random: Random) -> None:
        self._actor = actor
        self._policy = policy
        self._random = random
        self._counted: deque[float] = deque()
        self._next = policy.backoff.first

    def reset(self) -> None:
        """Forget every crash."""
        self._counted.clear()
        self._next = self._policy.backoff.first

    def after(self, cause: Exception, now: float, up_for: float) -> float | None:
        """Record a crash of an incarnation that was up for so many seconds: how long to wait, or `NEVER`."""
        if up_for >= self._policy.period:
            self._next = self._policy.backoff.first
        if any(isinstance(leaf, self._policy.fatal) for leaf in leaves(cause)):
            return NEVER
        if not self._is_anothers(cause) and self._too_often(now):
            return NEVER
        return self._wait()

    def _is_anothers(self, cause: Exception) -> bool:
        """Whether nothing crashed here but what came uncaught from other actors."""
        return all(
            isinstance(leaf, Crashed | Stopped) and leaf.actor != self._actor for leaf in leaves(cause)
        )

    def _too_often(self, now: float) -> bool:
        self._counted.append(now)
        while now - self._counted[0] > self._policy.period:
            self._counted.popleft()
        return len(self._counted) > self._policy.intensity

    def _wait(self) -> float:
        backoff = self._policy.backoff
        wait = min(self._next, backoff.ceiling)
        self._next = min(wait * backoff.factor, backoff.ceiling)  # never a power: it would overflow in time
        return max(0.0, wait * (1 + self._random.uniform(-backoff.jitter, backoff.jitter)))
