"""A host on Telegram: nothing is lost when it dies, when Telegram is away, or asks for patience."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from socket import socket

import pytest
import trio
import trio.testing

import nanoclaw
from nanoclaw import Host
from nanoclaw.channels.factory import ChannelContext, SetupFailed
from nanoclaw.channels.protocol import ChannelUnavailable
from nanoclaw.channels.telegram import TelegramConfig
from nanoclaw.channels.telegram.checking import check
from nanoclaw.channels.telegram.sdk import needs_sdk
from nanoclaw.config.model import KeyConfig
from nanoclaw.host import Seams
from nanoclaw.records import Address
from nanoclaw.testing import MemoryState
from nanoclaw.testing.networks.telegram import FakeTelegram, FakeUser, open_fake_telegram
from tests.bench.ingest import NoRuntime
from tests.channels.killed_host import prepare, running, stored_texts
from tests.channels.telegram.stage import channel
from tests.host.homes import config as host_config

GUARD_S = 120.0
"""An upper bound on a hang; nothing waits for it."""


@asynccontextmanager
async def a_host(tmp_path: Path, **settings: str) -> AsyncIterator[tuple[FakeTelegram, FakeUser, Host]]:
    """Run a host whose echo agent answers Ann."""
    async with open_fake_telegram() as telegram:
        made = channel(telegram, tmp_path, MemoryState(), **settings)
        async with nanoclaw.open_host(host_config(tmp_path / "home"), channels=[made]) as host:
            ann = telegram.user("Ann")
            await host.admin.wirings.connect(Address("family", str(ann.id)), "main", policy="public")
            with trio.fail_after(GUARD_S):
                yield telegram, ann, host


def texts(telegram: FakeTelegram, ann: FakeUser) -> list[str]:
    return [one.text for one in telegram.shown(ann.chat)]


async def answered(telegram: FakeTelegram, ann: FakeUser, last: str) -> None:
    while f"echo: {last}" not in texts(telegram, ann):
        await telegram.changed()


async def test_a_message_is_answered(tmp_path: Path) -> None:
    async with a_host(tmp_path) as (telegram, ann, _host):
        ann.says("hello")
        await answered(telegram, ann, "hello")


async def test_a_message_is_answered_in_its_topic(tmp_path: Path) -> None:
    async with a_host(tmp_path) as (telegram, ann, host):
        club = telegram.group("Club", [ann], topics=["Cakes"])
        [topic] = club.topics
        await host.admin.wirings.connect(Address("family", str(club.id)), "main", policy="public")
        ann.says("hello", club, thread=topic)
        [answer] = await telegram.until_shown(club)
    assert (answer.text, answer.thread_id) == ("echo: hello", topic)


async def test_a_killed_host_loses_nothing(tmp_path: Path) -> None:
    said = [f"message {n}" for n in range(200)]
    async with open_fake_telegram() as telegram:
        ann, token = telegram.user("Ann"), tmp_path / "token"
        await trio.Path(token).write_text(telegram.token)
        table = f'[channels.telegram]\ntoken = {{ file = "{token}" }}\napi_base = "{telegram.api_base}"\n'
        home = tmp_path / "home"
        await prepare(home, table, Address("telegram", str(ann.id)))
        with trio.fail_after(GUARD_S):
            for part in (said[:100], said[100:]):
                for text in part:
                    ann.says(text)
                async with running(home):
                    await telegram.until_called("sendMessage", len(telegram.shown(ann.chat)) + 10)
            async with running(home):
                await answered(telegram, ann, said[-1])
    assert stored_texts(home) == said
    assert {f"echo: {text}" for text in said} <= set(texts(telegram, ann))


async def test_messages_of_a_pause_come_in_order(tmp_path: Path) -> None:
    said = [f"message {n}" for n in range(1_000)]
    async with open_fake_telegram() as telegram:
        made = channel(telegram, tmp_path, MemoryState())
        ann, home = telegram.user("Ann"), tmp_path / "home"
        last = [ann.says(text) for text in said][-1]
        async with nanoclaw.open_host(
            host_config(home), channels=[made], seams=Seams(runtime=NoRuntime())
        ) as host:
            await host.admin.wirings.connect(Address("family", str(ann.id)), "main", policy="public")
            with trio.fail_after(GUARD_S):
                await telegram.confirmed(last)
    assert stored_texts(home) == said


async def test_a_flood_waits_as_long_as_telegram_asks(tmp_path: Path) -> None:
    async with a_host(tmp_path) as (telegram, ann, _host):
        telegram.flood(1, times=2)
        for n in range(10):
            ann.says(str(n))
        await answered(telegram, ann, "9")
        assert texts(telegram, ann) == [f"echo: {n}" for n in range(10)]
        [first, second, third, *_] = await telegram.until_called("sendMessage", 3)
        assert min(second.at - first.at, third.at - second.at) >= 1


async def test_an_outage_delays_messages_and_loses_none(tmp_path: Path) -> None:
    async with a_host(tmp_path) as (telegram, ann, _host):
        ann.says("one")
        await answered(telegram, ann, "one")
        with telegram.gone():
            ann.says("two")
            ann.says("three")
            await trio.testing.wait_all_tasks_blocked(0.05)  # polls fail, and wait
        await answered(telegram, ann, "three")
        assert texts(telegram, ann) == ["echo: one", "echo: two", "echo: three"]


@pytest.fixture
def free_port() -> int:
    with socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


async def test_a_webhook_takes_updates(tmp_path: Path, free_port: int) -> None:
    address = f"127.0.0.1:{free_port}"
    settings = {"webhook": f"http://{address}", "webhook_listen": address}
    async with a_host(tmp_path, **settings) as (telegram, ann, _host):
        await telegram.until_called("setWebhook")
        last = ann.says("hello")
        await telegram.confirmed(last)
        await answered(telegram, ann, "hello")


# -- setting up


def test_a_missing_package_is_named_with_the_way_to_install_it() -> None:
    with pytest.raises(ChannelUnavailable, match=r"telegram is missing: .*nanoclaw\[telegram\]"), needs_sdk():
        raise ImportError(name="telegram")


def settings(telegram: FakeTelegram, folder: Path, token: str) -> TelegramConfig:
    file = folder / "token"
    file.write_text(token)
    return TelegramConfig(KeyConfig(file=file), telegram.api_base)


async def test_the_check_finds_the_bot(tmp_path: Path) -> None:
    context = ChannelContext("telegram", tmp_path, "UTC", "Andy")
    async with open_fake_telegram() as telegram:
        account = await check(settings(telegram, tmp_path, telegram.token), context)
    assert (account.name, account.link) == ("@fake_assistant_bot", "https://t.me/fake_assistant_bot")


@pytest.mark.parametrize("token", ["7:another", "no token"])
async def test_the_check_says_that_a_token_is_refused(tmp_path: Path, token: str) -> None:
    context = ChannelContext("telegram", tmp_path, "UTC", "Andy")
    async with open_fake_telegram() as telegram:
        with pytest.raises(SetupFailed, match="BotFather") as raised:
            await check(settings(telegram, tmp_path, token), context)
    assert token not in str(raised.value)
