"""Processor and memory of 200 living sessions that wait for a date in a month."""

import os
import tempfile
from pathlib import Path

import trio

from tests.bench.homes import HostProgram, host_program, make_home

SESSIONS = 200
SETTLE_S = 2.0
WATCH_S = 10.0


def run() -> list[tuple[str, float, str]]:
    with tempfile.TemporaryDirectory(prefix="nanoclaw-bench-") as folder:
        home = Path(folder) / "home"
        trio.run(lambda: make_home(home, SESSIONS, waiting=True))
        return trio.run(_measure, home)


async def _measure(home: Path) -> list[tuple[str, float, str]]:
    async with host_program(home) as host:
        await host.logged("sessions.resumed")
        await trio.sleep(SETTLE_S)
        before = cpu_s(host)
        await trio.sleep(WATCH_S)
        percent = (cpu_s(host) - before) / WATCH_S * 100
        return [("idle200_cpu", percent, "%"), ("idle200_rss", _rss_mib(host), "MiB")]


def cpu_s(host: HostProgram) -> float:
    fields = Path(f"/proc/{host.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rss_mib(host: HostProgram) -> float:
    return (
        int(Path(f"/proc/{host.process.pid}/statm").read_text().split()[1])
        * os.sysconf("SC_PAGE_SIZE")
        / 2**20
    )
