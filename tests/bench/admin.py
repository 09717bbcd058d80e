"""Lists of a thousand sessions, asked of a running host over its control socket.

`list_1000_p95` is over every list of the operations. The first ask of each reads all files and counts, too;
a file that has not changed since is not opened again.
"""

import tempfile
from pathlib import Path
from statistics import quantiles
from time import perf_counter

import trio

from nanoclaw.cli.client import Client, connect
from nanoclaw.operations import Catalogue
from tests.bench.homes import host_program, make_home

SESSIONS = 1000
ROUNDS = 10


def run() -> list[tuple[str, float, str]]:
    return [("list_1000_p95", trio.run(_measure), "ms")]


async def _measure() -> float:
    lists = [name for name in Catalogue.installed().operations if name.endswith(".list")]
    with tempfile.TemporaryDirectory(prefix="nanoclaw-bench-") as folder:
        home = Path(folder)
        await make_home(home, SESSIONS, waiting=True)
        async with host_program(home) as host:
            await host.logged("sessions.resumed")
            async with connect(home / "data") as client:
                took = [await _took(client, name) for _ in range(ROUNDS) for name in lists]
    return quantiles(took, n=20)[-1]


async def _took(client: Client, name: str) -> float:
    """Milliseconds until the whole list is there."""
    began = perf_counter()
    rows = [row async for row in client.results(name)]
    if not isinstance(rows[-1], list) or (name == "sessions.list" and len(rows[-1]) != SESSIONS):
        raise RuntimeError(f"{name} brought no list")
    return (perf_counter() - began) * 1e3
