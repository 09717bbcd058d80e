"""Back to back: each message is sent when the last one was answered."""

from statistics import median

import trio

from tests.bench.wired import wired_host

MESSAGES = 30


def run() -> list[tuple[str, float, str]]:
    return [("backtoback_p50", trio.run(_measure) * 1e3, "ms")]


async def _measure() -> float:
    async with wired_host() as bench:
        await bench.round_trip()
        return median([await bench.round_trip() for _ in range(MESSAGES)])
