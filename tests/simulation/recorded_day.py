"""A simulated day in which much goes wrong, recorded: every seed another one."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import trio

from nanoclaw.recording import Record
from nanoclaw.testing import FakeChannel, World, calls, says, script, simulate, thinks

NAMES = ("ann", "bob", "club")
CHANGES: dict[str, Any] = {
    "delivery.backoff_s": (1.0, 5.0, 20.0),
    "retry.base_s": 1.0,
    "runtime.idle_s": 300.0,
}
TASK = {"prompt": "tick", "recurrence": "*/20 * * * *"}
EVERY = {"prompt": "tock", "recurrence": "@every 500"}


def recorded_day(seed: int, folder: Path, *, redacted: bool = False) -> None:
    """Run it, and record its second life."""
    record = Record(folder, redacted)
    repeat: Any = ("again", "idempotent", "look up", "never")[seed % 4]
    simulate(lambda world: _play(world, record), seed=seed, channel=FakeChannel(repeat=repeat))


async def _play(world: World, record: Record) -> None:
    scripted = script(
        [calls("schedule_task", **TASK), says("yes")],
        [thinks(30), calls("send_message", text="wait"), calls("schedule_task", **EVERY), says("and {text}")],
        *([says("echo {text}")] * 40),
    )
    world.agent("main", scripted)
    await world.start(**CHANGES)
    users = [world.user(name) for name in NAMES]
    for user in users:
        await world.direct(user)
    await users[0].says("before")
    await world.sleep(world.random.uniform(0, 60))
    await world.stop()
    await world.start(record=record, **CHANGES)
    async with trio.open_nursery() as nursery:
        for user in users:
            nursery.start_soon(_talk, world, user)
        nursery.start_soon(_trouble, world)
    await world.sleep(hours=1)
    await world.stop()


async def _talk(world: World, user: Any) -> None:
    for n in range(5):
        await world.sleep(world.random.expovariate(1 / 200))
        await user.says(f"{n}")


async def _trouble(world: World) -> None:
    network = world.channel
    troubles: list[Callable[[], object]] = [
        world.kill_runner,
        lambda: network.fail("crash after"),
        lambda: network.fail("unavailable", times=2),
        lambda: network.fail("rejected"),
        lambda: network.fail("hang"),
        network.heal,
        network.disconnect,
        network.crash_receiver,
        lambda: world.clock.jump(timedelta(seconds=world.random.uniform(-600, 7200))),
        world.kill_runner,
        lambda: setattr(world.runtime, "gone", "there is no engine"),
        lambda: setattr(world.runtime, "gone", None),
        *([lambda: _spoil(world)] if world.seed % 3 == 0 else []),
    ]
    world.random.shuffle(troubles)
    for trouble in troubles:
        await world.sleep(world.random.uniform(0, 200))
        trouble()
    network.heal()
    world.runtime.gone = None


def _spoil(world: World) -> None:
    """Damage the outbound file of a session: it is quarantined."""
    file = min(world.home.glob("data/sessions/*/*/outbound/outbound.db"))
    file.write_bytes(b"no database" * 1000)
    world.executor.after_commit(file)
