"""Limits of requests: one token bucket for each user."""

import trio
from attrs import Factory, define

MOST_USERS = 10_000
"""Users that are remembered. The one who was longest away is forgotten, and starts anew."""


@define(eq=False)
class Rates:
    """Counts requests. A user may save up a quarter of a minute's requests, and at least ten."""

    a_minute: float
    _buckets: dict[str, tuple[float, float]] = Factory(dict)
    """The tokens left and the time of the last request, by user."""

    @property
    def burst(self) -> float:
        """The most requests at once."""
        return max(10.0, self.a_minute / 4)

    def take(self, user: str) -> float:
        """Count a request. Return 0.0, or the seconds to wait if it is one too many."""
        now = trio.current_time()
        left, at = self._buckets.pop(user, (self.burst, now))
        left = min(self.burst, left + (now - at) * self.a_minute / 60)
        allowed = left >= 1
        self._buckets[user] = (left - 1 if allowed else left, now)
        while len(self._buckets) > MOST_USERS:
            del self._buckets[next(iter(self._buckets))]
        return 0.0 if allowed else (1 - left) * 60 / self.a_minute
