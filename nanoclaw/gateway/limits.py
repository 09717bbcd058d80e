"""Limits of one runner's requests: their rate, and how many there are at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil, inf

from attrs import define, field

from nanoclaw.gateway.refusals import Refused

MAX_BODY = 40 << 20
"""Bytes of a request's body."""
MAX_ANSWER = 64 << 20
"""Bytes of an answer's body."""
MAX_AT_ONCE = 8
"""Requests of one runner at a time."""
A_MINUTE = 600
"""Requests of one runner in a minute, in the long run."""
BURST = 100
"""Requests of one runner at once after a rest."""
MAX_HELD = 256 << 20
"""Bytes of request bodies of all runners at a time."""
MAX_HELD_BY_ONE = 2 * MAX_BODY
"""Bytes of request bodies of one runner at a time."""

MOST_LOGGED = 20
"""Refusals of one runner that are logged in any `LOGGED_S`. A hostile runner must not fill the disk."""
LOGGED_S = 10.0


@define(eq=False)
class RunnerLimits:
    """The state of one runner's limits: a token bucket, and counts."""

    _tokens: float = field(default=BURST, alias="tokens")
    _since: float = field(default=0.0, alias="since")
    _running: int = 0
    _logging_since: float = -inf
    _logged: int = 0
    _not_logged: int = 0

    @contextmanager
    def admitted(self, now: float) -> Iterator[None]:
        """Count a request while the context is open. `now` is on trio's clock. Raises Refused."""
        if self._running >= MAX_AT_ONCE:
            raise Refused(
                "rate", f"this agent has {MAX_AT_ONCE} requests to its model already", retry_after_s=1
            )
        self._take(now)
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1

    def log_refusal(self, now: float) -> int | None:
        """Count a refusal. Return how many before it were not logged; None if it is not to be logged."""
        if now - self._logging_since >= LOGGED_S:
            self._logging_since, self._logged = now, 0
        if self._logged >= MOST_LOGGED:
            self._not_logged += 1
            return None
        before, self._not_logged = self._not_logged, 0
        self._logged += 1
        return before

    def _take(self, now: float) -> None:
        a_second = A_MINUTE / 60
        self._tokens = min(BURST, self._tokens + max(0.0, now - self._since) * a_second)
        self._since = now
        if self._tokens < 1:
            wait = ceil((1 - self._tokens) / a_second)
            raise Refused("rate", "this agent asks its model too often", retry_after_s=wait)
        self._tokens -= 1


@define(eq=False)
class Room:
    """The room for bodies of requests. A runner has a room of its own within that of all runners."""

    _free: int = MAX_HELD
    _above: "Room | None" = None

    def take(self, size: int) -> None:
        """Take room for so many bytes. Raises Refused if there is none now."""
        if size > self._free:
            raise Refused("rate", "the gateway has too many large requests now", retry_after_s=2)
        if self._above is not None:
            self._above.take(size)
        self._free -= size

    def give(self, size: int) -> None:
        """Give room back."""
        self._free += size
        if self._above is not None:
            self._above.give(size)
