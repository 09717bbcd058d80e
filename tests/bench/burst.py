"""A burst: 20 messages at once into a warm session."""

from statistics import median

import trio

from tests.bench.loads import burst, event
from tests.bench.wired import CHAT, wired_host

MESSAGES = 20
ROUNDS = 5


def run() -> list[tuple[str, float, str]]:
    return [("burst20_last", trio.run(_measure), "s")]


async def _measure() -> float:
    async with wired_host() as bench:
        await bench.round_trip()
        bursts = [[event(CHAT, f"b{r}-{n}") for n in range(MESSAGES)] for r in range(ROUNDS)]
        return median([await burst(bench, events) for events in bursts])
