"""Limits of the connections of one sandbox, and of all together."""

from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil

import trio
from attrs import Factory, define, field

from nanoclaw.gateway.limits import RunnerLimits
from nanoclaw.gateway.web.refusals import WebRefused

MOST_OF_ONE = 64
"""Connections of one sandbox at a time."""
MOST_OF_ALL = 256
"""Connections of all sandboxes at a time. Each takes two descriptors of the host."""
MOST_LOOKUPS_OF_ONE = 4
"""Names of one sandbox that are looked up at a time."""
A_SECOND = 20.0
"""Connections of one sandbox in a second, in the long run."""
BURST = 400
"""Connections of one sandbox at once after a rest. Package managers open many."""


@define(eq=False)
class WebLimits:
    """The state of one sandbox's limits."""

    lookups: trio.Semaphore = Factory(lambda: trio.Semaphore(MOST_LOOKUPS_OF_ONE))
    _tokens: float = BURST
    _since: float = 0.0
    _refusals: RunnerLimits = field(factory=RunnerLimits, init=False)

    def admit(self, now: float) -> None:
        """Count a connection. `now` is on trio's clock. Raises WebRefused."""
        self._tokens = min(BURST, self._tokens + max(0.0, now - self._since) * A_SECOND)
        self._since = now
        if self._tokens < 1:
            wait_s = ceil((1 - self._tokens) / A_SECOND)
            raise WebRefused("busy", f"this agent opens too many connections. Try again in {wait_s} s")
        self._tokens -= 1

    def log_refusal(self, now: float) -> int | None:
        """Count a refusal. Return how many before it were not logged; None if it is not to be logged."""
        return self._refusals.log_refusal(now)


@define(eq=False)
class OpenConnections:
    """The number of open connections of all sandboxes."""

    _open: int = field(default=0, init=False)

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count a connection while the context is open. Raises WebRefused if there are too many."""
        if self._open >= MOST_OF_ALL:
            raise WebRefused("busy", "too many connections of all agents are open. Try again later")
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1
