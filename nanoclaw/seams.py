"""The wall clock and randomness, as protocols and as production binds them.

With the store's executor, the container runtimes and the channels these are the five seams: whoever
replaces all five (`nanoclaw.testing` does) runs the same host deterministically. What takes time asks
trio; only what needs the *date* asks the clock.
"""

from datetime import UTC, datetime
from random import Random
from typing import Protocol

CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
ID_LENGTH = 16


class Clock(Protocol):
    """Tells the date. Whoever wants to wait asks trio instead."""

    def now(self) -> datetime:
        """The current time, aware, in UTC."""
        ...


class SystemClock:
    """The wall clock of this machine."""

    def now(self) -> datetime:
        """The current time, aware, in UTC."""
        return datetime.now(UTC)  # noqa: TID251 -- this is the clock that everyone else asks


def new_id(prefix: str, random: Random) -> str:
    """A fresh identifier such as `ag-3f9k2m8x0c7v1b5n`: 80 bits, fit for a path (contract 1)."""
    return f"{prefix}-" + "".join(random.choices(CROCKFORD, k=ID_LENGTH))
