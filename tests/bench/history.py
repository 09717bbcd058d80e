"""Round trips of a session with a long history, in turns with a new session."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from statistics import median

import trio

from nanoclaw.config import Config
from nanoclaw.config.costs import UNLIMITED
from nanoclaw.host import open_host
from nanoclaw.logs import configure_logging
from nanoclaw.records import Address, SessionPaths
from tests.bench.loads import burst, event, more_chats
from tests.bench.wired import CHAT, USER, BenchChannel, BenchHost
from tests.store.history import add_history

MESSAGES = 60
PAUSE_S = (0.01, 0.05)
WARM_UP = 5


def run() -> list[tuple[str, float, str]]:
    return trio.run(_measure)


async def _measure() -> list[tuple[str, float, str]]:
    with tempfile.TemporaryDirectory(prefix="nanoclaw-bench-") as folder:
        home, channel = Path(folder), BenchChannel()
        async with _open(home, channel) as bench:
            await bench.host.bootstrap(CHAT, "Bench", owner_id=USER, owner_name="User")
            old, new = await more_chats(bench, 2)
            await burst(bench, [event(old, "first")])
            await trio.sleep(0.5)  # until its last acks are settled
        [root] = (home / "data" / "sessions").glob("*/*")
        add_history(SessionPaths(root))
        async with _open(home, channel) as bench:
            trips = await _take_turns(bench, old, new)
    ratio = median(trips[old]) / median(trips[new])
    return [
        ("history100k_p50", median(trips[old]) * 1e3, "ms"),
        ("history100k_ratio", ratio, "x"),
    ]


async def _take_turns(bench: BenchHost, old: Address, new: Address) -> dict[Address, list[float]]:
    random, trips = Random(1), dict[Address, list[float]]({old: [], new: []})
    for n in range(WARM_UP + MESSAGES):
        for chat in random.sample((old, new), 2):
            await trio.sleep(random.uniform(*PAUSE_S))
            took = await burst(bench, [event(chat, f"{chat.platform_id}-{n}")])
            if n >= WARM_UP:
                trips[chat].append(took)
    return trips


@asynccontextmanager
async def _open(home: Path, channel: BenchChannel) -> AsyncIterator[BenchHost]:
    configure_logging("warning", human=False)
    config = Config(home, home / "data", home / "groups", timezone="UTC", budgets=UNLIMITED)
    async with open_host(config, channels=[channel]) as host:
        yield BenchHost(host, channel, home)
