"""Telegram: updates accepted durably each second, and drafts that users see each second in a chat."""

import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

import trio

from nanoclaw.channels.factory import ChannelContext
from nanoclaw.channels.telegram import TelegramChannel, TelegramConfig
from nanoclaw.config.model import KeyConfig
from nanoclaw.host import Seams
from nanoclaw.records import Address
from nanoclaw.registry import WireChat
from nanoclaw.testing import MemoryState
from nanoclaw.testing.networks.telegram import FakeTelegram, FakeUser, open_fake_telegram
from tests.bench.ingest import NoRuntime
from tests.bench.wired import BenchHost, wired_host

UPDATES, CHATS, ROUNDS = 1_000, 20, 5
DRAFTING_S = 5.0
DRAFTS_A_SECOND = 20
"""As often as the host calls `draft`."""


def run() -> list[tuple[str, float, str]]:
    return [*trio.run(_updates), *trio.run(_drafts)]


def _channel(telegram: FakeTelegram, folder: Path) -> TelegramChannel:
    token = folder / "token"
    token.write_text(telegram.token)
    config = TelegramConfig(KeyConfig(file=token), telegram.api_base)
    return TelegramChannel(config, ChannelContext("telegram", folder, "UTC", "Andy"))


async def _updates() -> list[tuple[str, float, str]]:
    with tempfile.TemporaryDirectory(prefix="nanoclaw-bench-") as folder:
        async with open_fake_telegram() as telegram:
            channel = _channel(telegram, Path(folder))
            async with wired_host(channel, seams=Seams(runtime=NoRuntime())) as bench:
                users = [telegram.user(f"User {n}") for n in range(CHATS)]
                await _wire(bench, users)
                rates = [await _rate(telegram, users) for _ in range(ROUNDS)]
    return [("telegram_updates_rate", median(rates), "1/s")]


async def _wire(bench: BenchHost, users: list[FakeUser]) -> None:
    for n, user in enumerate(users):
        chat = Address("telegram", str(user.chat.id))
        await bench.host.registry.ask(WireChat(chat, f"agent-{n}", "public"))


async def _rate(telegram: FakeTelegram, users: list[FakeUser]) -> float:
    """Queue updates, and wait until the bot has confirmed the last one."""
    start, last = perf_counter(), 0
    for n in range(UPDATES):
        last = users[n % CHATS].says(f"message {n}")
    await telegram.confirmed(last)
    return UPDATES / (perf_counter() - start)


async def _drafts() -> list[tuple[str, float, str]]:
    with tempfile.TemporaryDirectory(prefix="nanoclaw-bench-") as folder:
        async with open_fake_telegram() as telegram:
            channel = _channel(telegram, Path(folder))
            channel.use_state(MemoryState())
            ann = telegram.user("Ann")
            async with channel.sender() as sender:
                for n in range(int(DRAFTING_S * DRAFTS_A_SECOND)):
                    await sender.draft(Address("telegram", str(ann.chat.id)), "word " * n)  # type: ignore[attr-defined]  # it has drafts
                    await trio.sleep(1 / DRAFTS_A_SECOND)
    return [("draft_rate", ann.chat.drafts_shown / DRAFTING_S, "1/s")]
