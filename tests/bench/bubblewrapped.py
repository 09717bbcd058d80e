"""Sandboxes of bubblewrap beside the runtime `process`: a cold start, and a message to a living runner.

The two runtimes take turns, so a noisy machine affects both. A ratio is that of their medians. A cold start
is that of a session whose host has started: it has tried the machine, and waits for messages.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from statistics import median

import trio
import trio.testing
from attrs import define, field

from nanoclaw.host import Seams
from nanoclaw.runtimes import Runtime
from nanoclaw.runtimes.bubblewrap import BubblewrapRuntime
from nanoclaw.runtimes.bubblewrap.detect import Ready, examine
from nanoclaw.runtimes.process import ProcessRuntime
from nanoclaw.runtimes.wrapper import RuntimeWrapper
from nanoclaw.system.sandbox_user import sandbox_owner
from tests.bench.wired import wired_host

ROUNDS = 15
WARM, WARM_UP = 150, 10
REST_S = 0.02
Line = tuple[str, float, str]


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
    makers = {name: make, "process": ProcessRuntime}
    cold, warm = _cold(makers), trio.run(_warm, makers)
    return [
        (f"{name}_cold_p50", cold[name] * 1e3, "ms"),
        (f"{name}_cold_ratio", cold[name] / cold["process"], "x"),
        (f"{name}_warm_ratio", warm[name] / warm["process"], "x"),
    ]


def _cold(makers: Mapping[str, Callable[[], Runtime]]) -> Mapping[str, float]:
    """Return the seconds of a cold start in each runtime. Each starts first in every other round."""
    times: dict[str, list[float]] = {name: [] for name in makers}
    for n in range(ROUNDS + 1):
        for name in list(makers)[:: 1 if n % 2 else -1]:
            found = trio.run(_first, makers[name]())
            if n:  # the first round only warms up
                times[name].append(found)
    return {name: median(found) for name, found in times.items()}


async def _first(runtime: Runtime) -> float:
    """Return the seconds of the first message to a host whose own start is over."""
    asked = AskedForSurvivors(runtime)
    async with wired_host(seams=Seams(runtime=asked)) as bench:
        await asked.answered.wait()
        await trio.testing.wait_all_tasks_blocked(REST_S)
        return await bench.round_trip()


async def _warm(makers: Mapping[str, Callable[[], Runtime]]) -> Mapping[str, float]:
    """Return the seconds of a message to a living runner in each runtime. Both have one all the time."""
    times: dict[str, list[float]] = {name: [] for name in makers}
    async with AsyncExitStack() as stack:
        hosts = {
            name: await stack.enter_async_context(wired_host(seams=Seams(runtime=make())))
            for name, make in makers.items()
        }
        for n in range(WARM_UP + WARM):
            for name, bench in hosts.items():
                found = await bench.round_trip()
                if n >= WARM_UP:
                    times[name].append(found)
    return {name: median(found) for name, found in times.items()}


@define(eq=False)
class AskedForSurvivors(RuntimeWrapper):
    """A runtime that tells when its host has asked it for survivors: it has tried the machine by then."""

    answered: trio.Event = field(factory=trio.Event, init=False)

    async def survivors(self) -> Sequence[str]:
        found = await self.runtime.survivors()
        self.answered.set()
        return found
