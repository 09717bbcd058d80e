"""Plays a scenario from its beginning to its end, in virtual time."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import trio

from agent_runner.providers import Provider, load
from nanoclaw.testing import FakeChannel, World, simulate

DAY_S = 86_400.0

Scenario = Callable[[World, FakeChannel], Awaitable[None]]


def run_scenario(home: Path, scenario: Scenario, provider: Provider | None = None) -> None:
    """Run in a world whose agent is `provider` (None: echo), with a network that outlives the hosts."""

    async def main(world: World) -> None:
        with trio.fail_after(DAY_S):
            await scenario(world, FakeChannel(repeat="idempotent"))

    simulate(main, seed=1, home=home, providers={"echo": lambda: provider or load("echo")})
