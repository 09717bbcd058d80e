"""Simulated time: a day of ten people who write fifty messages each, and how many small worlds a second."""

from collections.abc import Awaitable, Callable
from time import perf_counter

import structlog
import trio

from nanoclaw.logs import configure_logging
from nanoclaw.testing.chats import Chat, User
from nanoclaw.testing.simulation import simulate
from nanoclaw.testing.world import World

PEOPLE, MESSAGES = 10, 50
DAY_S = 86_400.0
WORLDS = 20


def run() -> list[tuple[str, float, str]]:
    configure_logging("warning", human=False)
    structlog.contextvars.clear_contextvars()
    day, small = _took(a_day, 1), [_took(a_word, seed) for seed in range(WORLDS)]
    return [("sim_speed", DAY_S / day, "x"), ("worlds_per_second", WORLDS / sum(small), "/s")]


def _took(scenario: Callable[[World], Awaitable[None]], seed: int) -> float:
    start = perf_counter()
    simulate(scenario, seed=seed)
    return perf_counter() - start


async def a_day(world: World) -> None:
    """Everybody writes at random moments of a day; every message is answered."""
    users = [world.user(f"user-{n}") for n in range(PEOPLE)]
    chats = [await world.direct(user, f"agent-{n}") for n, user in enumerate(users)]
    async with trio.open_nursery() as nursery:
        for user, chat in zip(users, chats, strict=True):
            nursery.start_soon(_talk, world, user, chat)
    await trio.sleep_until(DAY_S)


async def _talk(world: World, user: User, chat: Chat) -> None:
    moments = sorted(world.random.uniform(0, DAY_S - 3600) for _ in range(MESSAGES))
    for n, moment in enumerate(moments):
        await trio.sleep_until(moment)
        await user.says(f"message {n}")
        await chat.expect(f"echo: message {n}")


async def a_word(world: World) -> None:
    """One message and its answer."""
    ann = world.user("ann")
    chat = await world.direct(ann)
    await ann.says("hello")
    await chat.expect("echo: hello")
