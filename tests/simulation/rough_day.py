"""A day with trouble, as a simulation; `python rough_day.py SEED HOME` prints its timeline."""

import sys
from pathlib import Path

import trio

from nanoclaw.logs import configure_logging
from nanoclaw.testing.channel import FakeChannel, wire
from nanoclaw.testing.simulation import World, simulate

CHATS = ("ann", "bob", "club")
MESSAGES = 8


async def rough_day(world: World) -> FakeChannel:
    """Three chats talk for two lives of the host; runners die, the network fails, senders break."""
    network = FakeChannel(repeat="idempotent")
    for life in range(2):
        async with world.life(network, delivery_backoff_s=(1.0, 5.0, 20.0), retry_base_s=1.0) as host:
            for chat in CHATS:
                await wire(host, network.address(chat))
            with trio.fail_after(86_400):
                await _talk(world, network, life)
        await world.sleep(3600)
    for outgoing in network.sent:
        world.timeline.add("sent", outgoing.address.platform_id, outgoing.in_reply_to, outgoing.content)
    return network


async def _talk(world: World, network: FakeChannel, life: int) -> None:
    async with trio.open_nursery() as nursery:
        for chat in CHATS:
            nursery.start_soon(_chat, world, network, chat, life)
        for fault in (lambda: world.kill_runner(), lambda: network.fail("crash after"), network.disconnect):
            await world.sleep(world.random.uniform(0, 300))
            fault()


async def _chat(world: World, network: FakeChannel, chat: str, life: int) -> None:
    for n in range(MESSAGES):
        await world.sleep(world.random.expovariate(1 / 60))
        event_id = f"{chat}-{life}-{n}"
        await network.say(f"message {n} of {chat}", chat=chat, event_id=event_id)
        world.timeline.add("said", event_id)
        if n % 3 == 0:
            await network.reply_to(event_id)
    await network.reply_to(f"{chat}-{life}-{MESSAGES - 1}")


if __name__ == "__main__":
    configure_logging("error", human=False)
    print(simulate(rough_day, seed=int(sys.argv[1]), home=Path(sys.argv[2]))[1].text(), end="")  # noqa: T201
