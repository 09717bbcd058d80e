"""The wall clock: its protocol, and the implementation for production.

It is one of the five seams, besides randomness, the store's executor, the container runtime and the channels.
Code that replaces all five, as `nanoclaw.testing` does, runs the same host deterministically. Code that waits
asks trio; only code that needs the *date* asks the clock.
"""

from datetime import UTC, datetime
from typing import Protocol

import trio

LOOK_AT_CLOCK_S = 2.0
"""Seconds between checks for a jump of the date. Work that a jump makes due is late by no more."""
JUMP_S = 1.0
"""Smallest jump in seconds. On a busy machine some time passes between reading the two clocks."""


class Clock(Protocol):
    """Tells the date, and when it jumped. Code that waits asks trio instead."""

    def now(self) -> datetime:
        """Return the current time, aware, in UTC."""
        ...

    async def jumped(self) -> None:
        """Return once the date has moved relative to trio's clock: by a suspend, or because it was set."""
        ...


class SystemClock:
    """The wall clock of this machine."""

    def now(self) -> datetime:
        """Return the current time, aware, in UTC."""
        return datetime.now(UTC)  # noqa: TID251 -- this is the clock that all other code asks

    async def jumped(self) -> None:
        """Return within `LOOK_AT_CLOCK_S` after the date moved by `JUMP_S` or more relative to trio's clock.

        Trio's clock stops during a suspend, and is slewed together with the date. So the two differ only
        after a suspend, or after the date was set.
        """
        before = lead(self)
        while abs(lead(self) - before) < JUMP_S:  # noqa: ASYNC110 -- the system sends no event for this
            await trio.sleep(LOOK_AT_CLOCK_S)


def lead(clock: Clock) -> float:
    """Return the seconds by which the date is ahead of trio's clock. It changes only when the date jumps."""
    return clock.now().timestamp() - trio.current_time()
