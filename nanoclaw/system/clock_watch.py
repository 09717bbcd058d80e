"""The clock watch: it reports jumps of the date relative to trio's clock.

Tasks that wait for a date sleep on trio's clock. That clock stops during a suspend, and does not follow a
date that is set. So after a jump all tasks must check again what is due.
"""

from collections.abc import Callable

import structlog

from nanoclaw.system.clock import Clock, lead

_log = structlog.get_logger()


async def watch_clock(clock: Clock, tell: Callable[[], None]) -> None:
    """Call `tell` after each jump, until cancelled. `tell` only signals."""
    before = lead(clock)
    while True:
        await clock.jumped()
        after = lead(clock)
        _log.info("clock.jumped", by_s=round(after - before, 3))
        before = after
        tell()
