"""One seed, one order: what trio decides at random is decided by the seed."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import trio
from trio.testing import MockClock

from nanoclaw.testing.errors import WorldError


@contextmanager
def scheduled_by(seed: int) -> Iterator[None]:
    """Let trio schedule in an order that the seed alone decides."""
    switch, random = "_ALLOW_DETERMINISTIC_SCHEDULING", "_r"  # trio's own, for this use (trio issue 890)
    run: Any = import_module("trio._core._run")
    before = getattr(run, switch)
    setattr(run, switch, True)
    getattr(run, random).seed(seed)
    try:
        yield
    finally:
        setattr(run, switch, before)


def require_virtual_time() -> None:
    """Check that time jumps wherever every task waits.

    Raises:
        WorldError: trio runs on another clock.
    """
    clock = trio.lowlevel.current_clock()
    if not isinstance(clock, MockClock) or clock.autojump_threshold:
        raise WorldError(
            "a simulated world needs trio's MockClock(autojump_threshold=0): use the fixture `world`, "
            "`simulate(scenario, seed=...)`, or ask for World(real=True)"
        )
