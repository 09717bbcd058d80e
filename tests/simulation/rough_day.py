"""A day with trouble, as a simulation; `python rough_day.py SEED...` prints the timelines of these seeds."""

import sys
from collections.abc import Callable
from typing import Any

import trio

from nanoclaw.logs import configure_logging
from nanoclaw.testing import Chat, FakeChannel, User, World, simulate

NAMES = ("ann", "bob", "club")
MESSAGES = 3
CHANGES: dict[str, Any] = {"delivery.backoff_s": (1.0, 5.0, 20.0), "retry.base_s": 1.0}


async def rough_day(world: World) -> FakeChannel:
    """Three chats talk for three lives of the host; one is killed, runners die, the network fails."""
    await world.start(**CHANGES)
    users = [world.user(name) for name in NAMES]
    chats = [await world.direct(user) for user in users]
    for life in range(3):
        with trio.fail_after(86_400):
            await _talk(world, users, chats, life)
        await (world.kill_host() if life == 1 else world.stop())
        await world.sleep(hours=1)
        await world.start(**CHANGES)
    return world.channel


async def _talk(world: World, users: list[User], chats: list[Chat], life: int) -> None:
    network = world.channel
    faults: list[Callable[[], None]] = [
        world.kill_runner,
        lambda: network.fail("crash after"),
        network.disconnect,
    ]
    async with trio.open_nursery() as nursery:
        for user, chat in zip(users, chats, strict=True):
            nursery.start_soon(_chat, world, user, chat, life)
        for fault in faults:
            await world.sleep(world.random.uniform(0, 300))
            fault()


async def _chat(world: World, user: User, chat: Chat, life: int) -> None:
    for n in range(MESSAGES):
        await world.sleep(world.random.expovariate(1 / 60))
        await user.says(f"{n} in {life}")
        if n % 3 == 0 or n == MESSAGES - 1:
            await chat.expect(f"echo: {n} in {life}", within=3600)


if __name__ == "__main__":
    configure_logging("error", human=False)
    for seed in sys.argv[1:]:
        timeline = simulate(rough_day, seed=int(seed), channel=FakeChannel(repeat="idempotent"))[1]
        print(timeline.text(), end="")  # noqa: T201
