"""Worlds as plain functions: runs a scenario from start to end, on its own clock."""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import trio
from trio.testing import MockClock

from agent_runner.providers import Provider
from nanoclaw.testing.world.timeline import Timeline
from nanoclaw.testing.world.world import World

__all__ = ["World", "simulate"]

T = TypeVar("T")


def simulate(
    scenario: Callable[[World], Awaitable[T]],
    *,
    seed: int,
    home: Path | None = None,
    providers: Mapping[str, Callable[[], Provider]] | None = None,
    **arguments: Any,
) -> tuple[T, Timeline]:
    """Run a scenario in a simulated world; return its result and the timeline. It calls `trio.run`.

    `arguments` are passed to the world.

    Raises:
        Whatever the scenario raises.
    """

    async def run() -> tuple[T, Timeline]:
        async with World(seed=seed, folder=home, providers=dict(providers or {}), **arguments) as world:
            result = await scenario(world)
        return result, world.timeline

    return trio.run(run, clock=MockClock(autojump_threshold=0))
