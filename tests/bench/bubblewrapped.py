"""Sandboxes of bubblewrap beside the runtime `process`: a cold start, and a message to a living runner.

The two runtimes take turns, so a noisy machine affects both. A ratio is that of their medians.
"""

from collections.abc import Callable, Mapping
from statistics import median

import trio
from attrs import frozen

from nanoclaw.host import Seams
from nanoclaw.runtimes import Runtime
from nanoclaw.runtimes.bubblewrap import BubblewrapRuntime
from nanoclaw.runtimes.bubblewrap.detect import Ready, examine
from nanoclaw.runtimes.process import ProcessRuntime
from nanoclaw.system.sandbox_user import sandbox_owner
from tests.bench.wired import wired_host

ROUNDS = 9
WARM = 20
Line = tuple[str, float, str]


@frozen
class Times:
    """The seconds of one host's messages: the first one, and the median of the others."""

    cold_s: float
    warm_s: float


def bubblewrap() -> list[Line]:
    """Measure bubblewrap, if it works here."""
    owner = sandbox_owner()
    found = examine("bwrap", owner and owner[0])
    if not isinstance(found, Ready):
        print(f"not measured: {found}")
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
