"""A cold start: the first message of a session without files and runner."""

from statistics import median

import trio

from tests.bench.wired import wired_host

ROUNDS = 7


def run() -> list[tuple[str, float, str]]:
    return [("cold_p50", median([trio.run(_first) for _ in range(ROUNDS)]) * 1e3, "ms")]


async def _first() -> float:
    async with wired_host() as bench:
        return await bench.round_trip()
