"""The wall clock and randomness: their protocols, and the implementations for production.

They are two of the five seams, besides the store's executor, the container runtime and the channels. Who
replaces all five, as `nanoclaw.testing` does, runs the same host deterministically. Code that waits asks
trio; only code that needs the *date* asks the clock.
"""

from datetime import UTC, datetime
from random import Random
from typing import Protocol

import trio

CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
ID_LENGTH = 16
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
        after a suspend, or after somebody set the date.
        """
        before = lead(self)
        while abs(lead(self) - before) < JUMP_S:  # noqa: ASYNC110 -- the system sends no event for this
            await trio.sleep(LOOK_AT_CLOCK_S)


def lead(clock: Clock) -> float:
    """Return the seconds by which the date is ahead of trio's clock. It changes only when the date jumps."""
    return clock.now().timestamp() - trio.current_time()


class Naming(Random):
    """Randomness that is told the purpose of each id, for recordings and replays."""

    def name(self, what: str) -> str:
        """Return the random part of an id. The same `what` may be used again."""
        raise NotImplementedError


def random_name(random: Random) -> str:
    """Return the random part of an id: 80 bits."""
    return "".join(random.choices(CROCKFORD, k=ID_LENGTH))


def new_id(prefix: str, random: Random, *what: str | None) -> str:
    """Return a new identifier such as `ag-3f9k2m8x0c7v1b5n`. It may be used in a path (contract 1).

    `what` names its purpose by ids and addresses. This tells apart ids that are drawn at the same time.
    """
    if isinstance(random, Naming):
        return f"{prefix}-{random.name(' '.join([prefix, *(part or '-' for part in what)]))}"
    return f"{prefix}-{random_name(random)}"
