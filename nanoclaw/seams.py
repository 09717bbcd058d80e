"""The wall clock and randomness, as protocols and as production binds them.

With the store's executor, the container runtimes and the channels these are the five seams: whoever
replaces all five (`nanoclaw.testing` does) runs the same host deterministically. What takes time asks
trio; only what needs the *date* asks the clock.
"""

from datetime import UTC, datetime
from random import Random
from typing import Protocol

import trio

CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
ID_LENGTH = 16
LOOK_AT_CLOCK_S = 2.0
"""How often the date is compared with trio's clock: what a jump makes due is late by this at most."""
JUMP_S = 1.0
"""Less is no jump: on a busy machine time passes between the readings of the two clocks."""


class Clock(Protocol):
    """Tells the date, and when it jumped. Whoever wants to wait asks trio instead."""

    def now(self) -> datetime:
        """The current time, aware, in UTC."""
        ...

    async def jumped(self) -> None:
        """Return once the date has moved against trio's clock since the call: by a suspend, or it was set."""
        ...


class SystemClock:
    """The wall clock of this machine."""

    def now(self) -> datetime:
        """The current time, aware, in UTC."""
        return datetime.now(UTC)  # noqa: TID251 -- this is the clock that everyone else asks

    async def jumped(self) -> None:
        """Return within `LOOK_AT_CLOCK_S` after the date moved by `JUMP_S` or more against trio's clock.

        Trio's clock stops while the machine is suspended, and is slewed with the date: the two part only
        then, and where somebody sets the date.
        """
        before = lead(self)
        while abs(lead(self) - before) < JUMP_S:  # noqa: ASYNC110 -- nobody tells
            await trio.sleep(LOOK_AT_CLOCK_S)


def lead(clock: Clock) -> float:
    """Seconds by which the date is ahead of trio's clock; it changes only when the date jumps."""
    return clock.now().timestamp() - trio.current_time()


class Naming(Random):
    """Randomness that is told what each id is for, as a recording and a replay want to know."""

    def name(self, what: str) -> str:
        """The random part of an id; `what` may come again."""
        raise NotImplementedError


def random_name(random: Random) -> str:
    """The random part of an id: 80 bits."""
    return "".join(random.choices(CROCKFORD, k=ID_LENGTH))


def new_id(prefix: str, random: Random, *what: str | None) -> str:
    """A fresh identifier such as `ag-3f9k2m8x0c7v1b5n`, fit for a path (contract 1).

    `what` says what it is for, in ids and addresses: it tells apart those that are drawn at the same time.
    """
    if isinstance(random, Naming):
        return f"{prefix}-{random.name(' '.join([prefix, *(part or '-' for part in what)]))}"
    return f"{prefix}-{random_name(random)}"
