"""Restart policy: the delay before a restart, and when to give up."""

from collections import deque
from random import Random
from typing import Final

from attrs import field, frozen
from attrs.validators import ge, gt

from actors._errors import Crashed, Stopped, leaf_errors


@frozen
class Backoff:
    """The delay before the n-th restart in a row: `first * factor ** (n - 1)` seconds, at most `ceiling`.

    `jitter` is the largest fraction by which a delay is lengthened or shortened at random. An error may ask
    for more time by an attribute `retry_after`, a number of seconds; it gets at most `patience`.
    """

    first: float = field(default=0.1, validator=ge(0))
    factor: float = field(default=2.0, validator=ge(1))
    ceiling: float = field(default=30.0, validator=ge(0))
    jitter: float = field(default=0.1, validator=ge(0))
    patience: float = field(default=0.0, validator=ge(0))


@frozen
class Bury:
    """Give up on the actor alone.

    While it is buried, senders get `Stopped`. After `retry_after` seconds the actor starts afresh, with a
    clean crash count. With None it stays buried until it is stopped.
    """

    retry_after: float | None


@frozen
class Escalate:
    """Give up on the whole supervisor: its actors are stopped in order, and its scope raises `GaveUp`."""


@frozen
class Policy:
    """The supervision of one actor.

    An actor is given up after more than `intensity` crashes within `period` seconds, or after one crash of
    a `fatal` type. `capacity` bounds its mailbox. `batch` bounds the messages that `handle_all` gets at once.
    """

    capacity: int = field(default=64, validator=gt(0))
    batch: int = field(default=64, validator=gt(0))
    intensity: int = field(default=3, validator=ge(0))
    period: float = field(default=5.0, validator=gt(0))
    backoff: Backoff = Backoff()
    give_up: Bury | Escalate = Escalate()
    fatal: tuple[type[Exception], ...] = ()


DEFAULT: Final = Policy()
"""The policy of a supervisor that is given none."""

NEVER: Final = None
"""The delay that means: do not restart."""


class Restarts:
    """The crash count of one actor. All times are seconds of one monotonic clock."""

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
        """Record a crash after `up_for` seconds. Return the delay before the restart, or `NEVER`."""
        if up_for >= self._policy.period:
            self._next = self._policy.backoff.first
        if any(isinstance(leaf, self._policy.fatal) for leaf in leaf_errors(cause)):
            return NEVER
        if not self._came_from_others(cause) and self._too_often(now):
            return NEVER
        return max(self._wait(), self._asked(cause))

    def _asked(self, cause: Exception) -> float:
        """Return the delay that an error asks for."""
        found = [getattr(leaf, "retry_after", None) for leaf in leaf_errors(cause)]
        asked = max((each for each in found if isinstance(each, int | float)), default=0.0)
        return min(asked, self._policy.backoff.patience)

    def _came_from_others(self, cause: Exception) -> bool:
        """Tell if every error is an uncaught `Crashed` or `Stopped` of another actor."""
        return all(
            isinstance(leaf, Crashed | Stopped) and leaf.actor != self._actor for leaf in leaf_errors(cause)
        )

    def _too_often(self, now: float) -> bool:
        self._counted.append(now)
        while now - self._counted[0] > self._policy.period:
            self._counted.popleft()
        return len(self._counted) > self._policy.intensity

    def _wait(self) -> float:
        backoff = self._policy.backoff
        wait = min(self._next, backoff.ceiling)
        self._next = min(
            wait * backoff.factor, backoff.ceiling
        )  # multiply step by step: a power would overflow
        return max(0.0, wait * (1 + self._random.uniform(-backoff.jitter, backoff.jitter)))
