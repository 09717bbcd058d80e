"""From `python -m nanoclaw run` to ready, with no session and with a thousand idle ones."""

import tempfile
from pathlib import Path
from statistics import median

import trio

from tests.bench.homes import host_program, make_home

ROUNDS = 3


def run() -> list[tuple[str, float, str]]:
    return [("ready_empty", _ready(0), "s"), ("ready_1000", _ready(1000), "s")]


def _ready(count: int) -> float:
    with tempfile.TemporaryDirectory(prefix="nanoclaw-bench-") as folder:
        home = Path(folder) / "home"
        trio.run(lambda: make_home(home, count, waiting=False))
        return median([trio.run(_start, home) for _ in range(ROUNDS)])


async def _start(home: Path) -> float:
    start = trio.current_time()
    async with host_program(home) as host:
        await host.logged("host.ready")
        took = trio.current_time() - start
        await host.logged("sessions.resumed")
        return took
