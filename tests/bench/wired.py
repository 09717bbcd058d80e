"""A host with one wired chat, on real files with a real runner, and a channel that notes times."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import structlog
import trio
from attrs import Factory, define

from nanoclaw.channels.protocol import Channel
from nanoclaw.channels.simple import SimpleChannel
from nanoclaw.config import Config
from nanoclaw.config.costs import UNLIMITED
from nanoclaw.config.model import ModelConfig
from nanoclaw.host import Host, Seams, open_host
from nanoclaw.logs import configure_logging
from nanoclaw.records import Address, ChatMessage, InboundEvent, Outgoing, Receipt

CHAT = Address("bench", "chat")
USER = "bench:user"


@define(eq=False)
class BenchChannel(SimpleChannel):
    """A channel that delivers nowhere and notes when."""

    channel_type: str = CHAT.channel_type
    waiting: dict[str, trio.Event] = Factory(dict)
    delivered_at: dict[str, float] = Factory(dict)

    async def deliver(self, outgoing: Outgoing, /) -> Receipt:
        event_id = outgoing.in_reply_to or ""
        self.delivered_at[event_id] = trio.current_time()
        if event_id in self.waiting:
            self.waiting[event_id].set()
        return Receipt(outgoing.message_out_id)


@define(eq=False)
class BenchHost:
    """A running host, with what a part needs to measure it."""

    host: Host
    channel: BenchChannel
    home: Path
    sent: int = 0

    async def round_trip(self) -> float:
        """Offer a message and wait until its reply is delivered. Return the seconds."""
        self.sent += 1
        event_id = f"e{self.sent}"
        answered = self.channel.waiting[event_id] = trio.Event()
        start = trio.current_time()
        message = ChatMessage(event_id, f"message {self.sent}", "User", USER)
        await self.host.intake.offer(InboundEvent(CHAT, event_id, message))
        await answered.wait()
        return self.channel.delivered_at[event_id] - start


@asynccontextmanager
async def wired_host(
    *others: Channel, seams: Seams | None = None, model: ModelConfig | None = None
) -> AsyncIterator[BenchHost]:
    """Open the host. Logs are bound as in production; only warnings are written."""
    configure_logging("warning", human=False)
    with tempfile.TemporaryDirectory(prefix="nanoclaw-bench-") as folder:
        home = Path(folder)
        channel = BenchChannel()
        asked = model or ModelConfig()
        config = Config(home, home / "data", home / "groups", timezone="UTC", model=asked, budgets=UNLIMITED)
        structlog.contextvars.clear_contextvars()
        async with open_host(config, channels=[channel, *others], seams=seams) as host:
            await host.bootstrap(CHAT, "Bench", owner_id=USER, owner_name="User")
            yield BenchHost(host, channel, home)
