"""Whoever uses something real in a simulated world is told, by file and line."""

# ruff: noqa: PLW0108 -- the functions are looked up when they are called
import logging
import random
import secrets
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import pytest
import trio

from agent_runner.providers import Toolbox
from agent_runner.records import Turn
from nanoclaw.testing.guards import NotSimulated
from nanoclaw.testing.simulation import simulate
from nanoclaw.testing.virtual import EPOCH
from nanoclaw.testing.world import World

STRAYS: dict[str, Callable[[], object]] = {
    "time.time": lambda: time.time(),
    "time.monotonic": lambda: monotonic(),
    "time.sleep": lambda: time.sleep(0),
    "datetime.now": lambda: datetime.now(UTC),
    "datetime.utcnow": lambda: datetime.utcnow(),  # noqa: DTZ003 -- it is what is tried
    "random.random": lambda: random.random(),
    "os.urandom": lambda: uuid.uuid4(),
    "random._urandom": lambda: secrets.token_hex(8),
    "Thread.start": lambda: threading.Thread(target=print).start(),
    "socket.__init__": lambda: socket.socket(),
    "Popen.__init__": lambda: subprocess.run(["/bin/true"], check=False),
}


@pytest.mark.parametrize("name", STRAYS)
async def test_a_stray_is_refused_where_it_is_called(world: World, name: str) -> None:
    with pytest.raises(NotSimulated) as refused:
        STRAYS[name]()
    assert f"{Path(__file__)}:" in str(refused.value)
    assert f" {name}() in a simulated world" in str(refused.value)
    world.guards.strays.clear()


async def test_a_thread_of_trio_is_refused(world: World) -> None:
    with pytest.raises(NotSimulated, match="virtual time jumps past"):
        await trio.to_thread.run_sync(print)
    world.guards.strays.clear()


async def test_what_is_logged_has_the_virtual_date(world: World) -> None:
    await world.sleep(days=1)
    record = logging.LogRecord("a", logging.INFO, "p", 1, "m", None, None)
    assert record.created == EPOCH.timestamp() + 86_400


@pytest.mark.world(allowed=["tests", "test_guards"])
@pytest.mark.usefixtures("world")
async def test_a_package_that_is_allowed_may_do_as_it_likes() -> None:
    assert time.time() > EPOCH.timestamp()


def test_outside_of_a_world_all_is_as_it_was() -> None:
    before = time.time, random.random, datetime.__dict__["now"], socket.socket.__init__, monotonic
    simulate(lambda world: world.sleep(1), seed=1)
    assert before == (time.time, random.random, datetime.__dict__["now"], socket.socket.__init__, monotonic)
    assert datetime.now(UTC).year > 2000


def test_a_brain_that_looks_at_the_real_clock_fails_its_test_though_its_error_is_swallowed() -> None:
    async def brain(_turn: Turn, _tools: Toolbox) -> str:
        return str(time.time())

    async def scenario(world: World) -> None:
        world.agent(brain=brain)
        ann = world.user("ann")
        await world.direct(ann)
        await ann.says("what time is it?")
        await world.sleep(60)

    with pytest.raises(NotSimulated, match=r"test_guards\.py:\d+: time\.time\(\)"):
        simulate(scenario, seed=1)
