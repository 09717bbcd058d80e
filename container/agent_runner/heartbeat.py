"""Liveness, as an mtime (contract 1), and the watch over a provider that has fallen silent."""

import os
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import trio
from attrs import define, field

from agent_runner.seams import Seams

INTERVAL = 10.0


def touch(path: Path, now: datetime) -> None:
    """Set the mtime from the clock (a simulation's runs ahead of the file system's). Raises OSError."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600))
    os.utime(path, (now.timestamp(), now.timestamp()))


@define(eq=False)
class Pulse:
    """When a provider last gave a sign of life, on trio's clock. While one of its tools runs, it lives."""

    last: float = field(factory=trio.current_time)
    tools: int = 0

    def alive(self) -> None:
        """Note a sign of life."""
        self.last = trio.current_time()

    def silent_for(self) -> float:
        """Seconds without one."""
        return 0.0 if self.tools else trio.current_time() - self.last


async def beat(path: Path, seams: Seams, pulse: Pulse, silence_limit: float, stop: trio.CancelScope) -> None:
    """Touch the heartbeat every 10 s; cancel `stop` once the provider has been silent for the limit."""
    while True:
        with suppress(OSError):  # a full disk is told by the commit that meets it
            touch(path, seams.clock.now())
        await trio.sleep(INTERVAL)
        if pulse.silent_for() >= silence_limit:
            stop.cancel()
