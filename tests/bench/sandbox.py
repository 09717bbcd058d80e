"""Sandboxes beside the runtime `process`: a cold start, a message to a runner that is there, and the proxy.

The two runtimes take turns, so a noisy machine affects both. A ratio is that of their medians.
"""

import sys
from collections.abc import Callable, Mapping
from statistics import median

import trio
from attrs import frozen

from nanoclaw.host import Seams
from nanoclaw.runtimes import Runtime
from nanoclaw.runtimes.bubblewrap import BubblewrapRuntime, why_not
from nanoclaw.runtimes.process import ProcessRuntime
from tests.bench.web import Line, proxy_throughput
from tests.bench.wired import wired_host

ROUNDS = 9
WARM = 20


@frozen
class Times:
    """The seconds of one host's messages: the first one, and the median of the others."""

    cold_s: float
    warm_s: float


def run() -> list[Line]:
    """Measure all lines of this part."""
    return [*bubblewrap(), trio.run(proxy_throughput)]


def bubblewrap() -> list[Line]:
    """Measure bubblewrap, if this machine makes sandboxes."""
    reason = why_not()
    if reason is not None:
        print(f"bubblewrap is not measured: {reason}", file=sys.stderr)
        return []
    return compared("bubblewrap", BubblewrapRuntime)


def compared(name: str, make: Callable[[], Runtime]) -> list[Line]:
    """Measure a runtime and `process` in turns. Return the ratios of the medians."""
    times = in_turns({name: make, "process": ProcessRuntime})
    cold = {each: median(one.cold_s for one in found) for each, found in times.items()}
    warm = {each: median(one.warm_s for one in found) for each, found in times.items()}
    return [
        (f"{name}_cold_p50", cold[name] * 1e3, "ms"),
        (f"{name}_cold_ratio", cold[name] / cold["process"], "x"),
        (f"{name}_warm_ratio", warm[name] / warm["process"], "x"),
    ]


def in_turns(makers: Mapping[str, Callable[[], Runtime]]) -> Mapping[str, list[Times]]:
    """Measure runtimes, each once in each round. The first round only warms up."""
    times: dict[str, list[Times]] = {name: [] for name in makers}
    for n in range(ROUNDS + 1):
        for name, make in makers.items():
            found = trio.run(_measured, make())
            if n:
                times[name].append(found)
    return times


async def _measured(runtime: Runtime) -> Times:
    async with wired_host(seams=Seams(runtime=runtime)) as bench:
        cold = await bench.round_trip()
        return Times(cold, median([await bench.round_trip() for _ in range(WARM)]))
