"""Time from `python -m nanoclaw run` to ready, with no session and with 1,000 idle ones."""

import tempfile
from pathlib import Path
from statistics import median

import trio

from tests.bench.homes import host_program, make_home

ROUNDS = 3


def run() -> list[tuple[str, float, str]]:
    empty, _ = _ready(0)
    ready, resumed = _ready(1000)
    return [("ready_empty", empty, "s"), ("ready_1000", ready, "s"), ("resumed_1000", resumed, "s")]


def _ready(count: int) -> tuple[float, float]:
    """Return the median times until messages are taken and until every session was looked at."""
    with tempfile.TemporaryDirectory(prefix="nanoclaw-bench-") as folder:
        home = Path(folder) / "home"
        trio.run(lambda: make_home(home, count, waiting=False))
        ready, resumed = zip(*[trio.run(_start, home) for _ in range(ROUNDS)], strict=True)
        return median(ready), median(resumed)


async def _start(home: Path) -> tuple[float, float]:
    start = trio.current_time()
    async with host_program(home) as host:
        await host.logged("host.ready")
        ready = trio.current_time() - start
        await host.logged("sessions.resumed")
        return ready, trio.current_time() - start
