"""Speed of an ask and a cast, as a fraction of bare trio memory channels that do the same work."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from statistics import median
from time import perf_counter

import trio
from attrs import frozen

from actors import Context, open_supervisor

COUNT = 4000
ROUNDS = 7
CAPACITY = 64

Run = Callable[[], Awaitable[None]]


class Echo:
    """An actor that returns what it gets."""

    def __init__(self) -> None:
        self.seen = 0


@frozen
class Say:
    """A message with one number, which is the reply."""

    number: int

    async def handle(self, actor: Echo) -> int:
        """Return the number."""
        actor.seen += 1
        return self.number


@asynccontextmanager
async def echo(_context: Context[Echo]) -> AsyncIterator[Echo]:
    """Make an actor that owns nothing."""
    yield Echo()


async def ask_actor() -> None:
    """Send requests and responses through a mailbox."""
    async with open_supervisor("bench") as supervisor:
        ref = supervisor.start("echo", echo)
        for number in range(COUNT):
            await ref.ask(Say(number))


async def cast_actor() -> None:
    """Send one way through a mailbox, until all messages are handled."""
    async with open_supervisor("bench") as supervisor:
        ref = supervisor.start("echo", echo)
        for number in range(COUNT - 1):
            await ref.cast(Say(number))
        await ref.ask(Say(COUNT))


async def ask_channels() -> None:
    """Send requests through one channel and responses through another one."""
    requests, to_serve = trio.open_memory_channel[Say](CAPACITY)
    to_reply, responses = trio.open_memory_channel[int](CAPACITY)
    actor = Echo()

    async def serve() -> None:
        async for request in to_serve:
            await to_reply.send(await request.handle(actor))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        for number in range(COUNT):
            await requests.send(Say(number))
            await responses.receive()
        requests.close()


async def cast_channels() -> None:
    """Send one way through a channel, until all messages are handled."""
    requests, to_serve = trio.open_memory_channel[Say](CAPACITY)
    actor = Echo()

    async def serve() -> None:
        async for request in to_serve:
            await request.handle(actor)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        for number in range(COUNT):
            await requests.send(Say(number))
        requests.close()


def seconds(work: Run) -> float:
    """Return the duration of one run."""
    began = perf_counter()
    trio.run(work)
    return perf_counter() - began


def ratio(ours: Run, bare: Run) -> float:
    """Return our throughput over the bare one: medians of interleaved runs, so a slow moment hits both."""
    seconds(ours)  # warm
    pairs = [(seconds(ours), seconds(bare)) for _ in range(ROUNDS)]
    return median(theirs for _, theirs in pairs) / median(mine for mine, _ in pairs)


def run() -> list[tuple[str, float, str]]:
    """Return both ratios; more is better."""
    return [
        ("ask_ratio", ratio(ask_actor, ask_channels), "x"),
        ("cast_ratio", ratio(cast_actor, cast_channels), "x"),
    ]


if __name__ == "__main__":
    for name, value, unit in run():
        print(f"{name} {value:.2f} {unit}")
