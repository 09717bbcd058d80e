"""Round trips of a healthy session beside 50 with a hanging channel, in turns with a session alone."""

from statistics import median

import trio
from attrs import Factory, define

from nanoclaw.channels.protocol import Capabilities
from nanoclaw.channels.simple import SimpleChannel
from nanoclaw.records import Address, Outgoing, Receipt
from nanoclaw.registry import WireChat
from tests.bench.loads import event
from tests.bench.wired import BenchHost, wired_host

OTHERS = 50
ROUNDS = 60
PAUSE_S = 0.02


@define(eq=False)
class HangingChannel(SimpleChannel):
    """A channel whose deliveries never return."""

    channel_type: str = "hanging"
    capabilities: Capabilities = Factory(lambda: Capabilities("idempotent"))
    asked: set[str] = Factory(set)
    all_asked: trio.Event = Factory(trio.Event)

    async def deliver(self, outgoing: Outgoing, /) -> Receipt:
        self.asked.add(outgoing.address.platform_id)
        if len(self.asked) == OTHERS:
            self.all_asked.set()
        await trio.sleep_forever()
        raise AssertionError


def run() -> list[tuple[str, float, str]]:
    return trio.run(_measure)


async def _measure() -> list[tuple[str, float, str]]:
    hanging = HangingChannel()
    alone, among = list[float](), list[float]()
    async with wired_host() as one, wired_host(hanging) as other:
        await _hang(other, hanging)
        for _ in range(ROUNDS + 5):
            for bench, trips in ((one, alone), (other, among)):
                await trio.sleep(PAUSE_S)
                trips.append(await bench.round_trip())
    ratio = median(among[5:]) / median(alone[5:])
    return [
        ("healthy_alone_p50", median(alone[5:]) * 1e3, "ms"),
        ("healthy_delay_ratio", ratio, "x"),
    ]


async def _hang(bench: BenchHost, hanging: HangingChannel) -> None:
    """Give each other session an attempt in flight."""
    for n in range(OTHERS):
        chat = Address(hanging.channel_type, f"chat-{n}")
        await bench.host.registry.ask(WireChat(chat, f"agent-{n}", "public"))
        await bench.host.intake.offer(event(chat, f"hang-{n}"))
    await hanging.all_asked.wait()
