"""Loads that several parts use: chats wired to sessions of their own, and bursts."""

import trio

from nanoclaw.records import Address, ChatMessage, InboundEvent
from nanoclaw.registry import WireChat
from tests.bench.wired import CHAT, USER, BenchHost


async def more_chats(bench: BenchHost, count: int) -> list[Address]:
    """Wire `count` chats, each to an agent group of its own."""
    chats = [Address(CHAT.channel_type, f"chat-{n}") for n in range(count)]
    for n, chat in enumerate(chats):
        await bench.host.registry.ask(WireChat(chat, f"agent-{n}", "public"))
    return chats


def event(chat: Address, event_id: str, text: str | None = None) -> InboundEvent:
    """Make a message from the benchmark's user."""
    return InboundEvent(chat, event_id, ChatMessage(event_id, text or f"message {event_id}", "User", USER))


async def burst(bench: BenchHost, events: list[InboundEvent]) -> float:
    """Offer all events at once and wait for all answers. Return the seconds until the last one."""
    start = trio.current_time()
    waiting = bench.channel.waiting
    waiting.update({one.event_id: trio.Event() for one in events})
    async with trio.open_nursery() as nursery:
        for one in events:
            nursery.start_soon(bench.host.intake.offer, one)
    for one in events:
        await waiting[one.event_id].wait()
    return max(bench.channel.delivered_at[one.event_id] for one in events) - start
