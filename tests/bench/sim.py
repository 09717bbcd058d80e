"""Speed of simulated time: a day with 10 users and 50 messages each, and small worlds per second.

As in the simulated workloads, 3 of 5 messages follow the last one within a minute. `sim_speed_spread` is
the same day with all messages at random times; nearly each of them starts a runner.
"""

from collections.abc import Awaitable, Callable, Sequence
from random import Random
from time import perf_counter

import structlog
import trio

from nanoclaw.logs import configure_logging
from nanoclaw.simulation.workload import SOON_S
from nanoclaw.testing import Chat, User, World, simulate

PEOPLE, CONVERSATIONS, MESSAGES = 10, 20, 50
DAY_S, LAST_S = 86_400.0, 82_800.0
WORLDS = 20


def run() -> list[tuple[str, float, str]]:
    configure_logging("warning", human=False)
    structlog.contextvars.clear_contextvars()
    small = [_took(a_word, seed) for seed in range(WORLDS)]
    return [
        ("sim_speed", DAY_S / _took(a_day, 1), "x"),
        ("sim_speed_spread", DAY_S / _took(a_spread_day, 1), "x"),
        ("worlds_per_second", WORLDS / sum(small), "/s"),
    ]


def _took(scenario: Callable[[World], Awaitable[None]], seed: int) -> float:
    start = perf_counter()
    simulate(scenario, seed=seed)
    return perf_counter() - start


async def a_day(world: World) -> None:
    """Let every user have a few conversations, and wait for every answer."""
    await _a_day(world, _conversations)


async def a_spread_day(world: World) -> None:
    """Let every user write at random times, and wait for every answer."""
    await _a_day(world, lambda random: [random.uniform(0, LAST_S) for _ in range(MESSAGES)])


def _conversations(random: Random) -> list[float]:
    begun = [random.uniform(0, LAST_S) for _ in range(CONVERSATIONS)]
    followed = random.choices(begun, k=MESSAGES - CONVERSATIONS)
    return [*begun, *(at + random.expovariate(1 / SOON_S) for at in followed)]


async def _a_day(world: World, moments: Callable[[Random], list[float]]) -> None:
    users = [world.user(f"user-{n}") for n in range(PEOPLE)]
    chats = [await world.direct(user, f"agent-{n}") for n, user in enumerate(users)]
    async with trio.open_nursery() as nursery:
        for user, chat in zip(users, chats, strict=True):
            nursery.start_soon(_talk, user, chat, sorted(moments(world.random)))
    await trio.sleep_until(DAY_S)


async def _talk(user: User, chat: Chat, moments: Sequence[float]) -> None:
    for n, moment in enumerate(moments):
        await trio.sleep_until(moment)
        await user.says(f"message {n}")
        await chat.expect(f"echo: message {n}")


async def a_word(world: World) -> None:
    """Send one message and wait for its answer."""
    ann = world.user("ann")
    chat = await world.direct(ann)
    await ann.says("hello")
    await chat.expect("echo: hello")
