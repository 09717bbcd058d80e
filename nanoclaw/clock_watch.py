"""The clock watch: tells when the date has jumped against the clock that all timers run on.

Whoever sleeps until a date sleeps on trio's clock, which stops while the machine is suspended and hears
nothing of a date that is set. So after a jump all look again at what is due.
"""

from collections.abc import Callable

import structlog

from nanoclaw.seams import Clock, lead

_log = structlog.get_logger()


async def watch_clock(clock: Clock, tell: Callable[[], None]) -> None:
    """Call `tell`, which only signals, after each jump, until cancelled."""
    before = lead(clock)
    while True:
        await clock.jumped()
        after = lead(clock)
        _log.info("clock.jumped", by_s=round(after - before, 3))
        before = after
        tell()
