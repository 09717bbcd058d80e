"""A host on Discord: messages go round, and nothing is lost or doubled when the host or the network dies."""

from collections import Counter
from pathlib import Path

import trio

import nanoclaw
from nanoclaw import Address
from nanoclaw.testing import MemoryState
from nanoclaw.testing.networks.discord import FakeDiscord, open_fake_discord
from tests.channels.discord.bots import ANN, channel_of, soon
from tests.channels.killed_host import prepare, running, stored_texts
from tests.host.homes import config

GUARD_S = 60.0
"""An upper bound on a hang; nothing waits for it."""


async def answered(discord: FakeDiscord, chat: str, number: int) -> None:
    """Wait until people have seen so many messages of the bot."""
    await soon(lambda: len(discord.texts(chat)) >= number, within_s=GUARD_S)


async def test_a_message_goes_round(tmp_path: Path) -> None:
    async with open_fake_discord() as discord:
        channel = channel_of(discord, tmp_path, MemoryState())
        async with nanoclaw.open_host(config(tmp_path), channels=[channel]) as host:
            general = discord.text_channel("general")
            await host.admin.wirings.connect(Address("discord", general), "main", policy="public")
            await soon(lambda: discord.sessions.begun)
            topic = await discord.thread(general, "topic")
            await discord.say(general, ANN, "hello", files=[("notes.txt", b"abc")])
            await discord.say(topic, ANN, "in the thread")
            await answered(discord, general, 1)
            await answered(discord, topic, 1)
        assert discord.texts(general)[0].startswith("echo: hello")
        assert discord.texts(topic) == ["echo: in the thread"]
        assert list((tmp_path / "discord" / "media").glob("*")) == []


async def test_a_killed_host_loses_and_doubles_nothing(tmp_path: Path) -> None:
    said = [f"message {n}" for n in range(200)]
    async with open_fake_discord() as discord:
        chat, home = discord.direct_chat(ANN, "ann"), tmp_path / "home"
        (tmp_path / "token").write_text(discord.token)
        table = (
            f'[channels.discord]\ntoken = {{ file = "{tmp_path / "token"}" }}\n'
            f'api_base = "{discord.api_base}"\ngateway = "{discord.gateway}"\n'
        )
        await prepare(home, table, Address("discord", chat))
        async with trio.open_nursery() as nursery:
            for number, is_forgotten in ((40, False), (110, True)):
                async with running(home):
                    if number == 40:
                        await soon(lambda: discord.sessions.begun, within_s=GUARD_S)
                        nursery.start_soon(say_all, discord, chat, said)
                    await answered(discord, chat, number)
                if is_forgotten:
                    discord.sessions.forget()
            async with running(home):
                await answered(discord, chat, len(said))
    assert stored_texts(home) == said
    assert Counter(discord.texts(chat)) == Counter(f"echo: {text}" for text in said)


async def say_all(discord: FakeDiscord, chat: str, texts: list[str]) -> None:
    for n, text in enumerate(texts):
        await discord.say(chat, ANN, text)
        await soon(lambda n=n: len(discord.texts(chat)) >= n - 30, within_s=GUARD_S)  # type: ignore[misc]  # of mypy


async def test_an_outage_delays_messages_and_loses_none(tmp_path: Path) -> None:
    async with open_fake_discord() as discord:
        chat, channel = discord.direct_chat(ANN, "ann"), channel_of(discord, tmp_path, MemoryState())
        async with nanoclaw.open_host(config(tmp_path), channels=[channel]) as host:
            await host.admin.wirings.connect(Address("discord", chat), "main", policy="public")
            await soon(lambda: discord.sessions.begun)
            await discord.say(chat, ANN, "one")
            await answered(discord, chat, 1)
            with discord.down():
                await discord.say(chat, ANN, "two")
                refused = len(discord.calls)
                await soon(lambda: len(discord.calls) > refused, within_s=GUARD_S)
            await answered(discord, chat, 2)
        assert discord.texts(chat) == ["echo: one", "echo: two"]


async def test_a_flood_of_refusals_doubles_nothing(tmp_path: Path) -> None:
    async with open_fake_discord() as discord:
        chat, channel = discord.direct_chat(ANN, "ann"), channel_of(discord, tmp_path, MemoryState())
        async with nanoclaw.open_host(config(tmp_path), channels=[channel]) as host:
            await host.admin.wirings.connect(Address("discord", chat), "main", policy="public")
            await soon(lambda: discord.sessions.begun)
            discord.bucket = (3, 0.2)
            for n in range(20):
                await discord.say(chat, ANN, f"{n}")
            await answered(discord, chat, 20)
        assert discord.texts(chat) == [f"echo: {n}" for n in range(20)]
