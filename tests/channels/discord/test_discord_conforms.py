"""The Discord channel keeps the protocol of channels, against a server that speaks Discord's."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

import pytest

from nanoclaw.channels.discord.channel import DiscordChannel
from nanoclaw.records import Address
from nanoclaw.testing.conformance import ChannelUnderTest, Check, DirectChat, Thread, channel_checks
from tests.channels.discord.bots import ANN, Bot, open_bot, until_taken

NOT_FOR_DISCORD = {"it does not say that it is idempotent", "no hook `joins` was given"}


def shown(text: str) -> str:
    """Return a text as people see it: an escaped sign is that sign."""
    return re.sub(r"\\([\\*_~`|>#+.\[\]-])", r"\1", text)


@asynccontextmanager
async def discord() -> AsyncIterator[ChannelUnderTest]:
    async with open_bot() as bot:
        yield await subject(bot, bot.channel())


async def subject(bot: Bot, channel: DiscordChannel) -> ChannelUnderTest:
    network = bot.discord
    chat = network.text_channel("general")
    topic = await network.thread(chat, "topic")
    thread = Address("discord", chat, topic)

    async def says(text: str, where: str = chat, **more: object) -> None:
        await network.say(where, ANN, text, **more)  # type: ignore[arg-type]  # its own options
        await until_taken(channel, network)

    async def edits(text: str) -> None:
        await network.edit(chat, users()[-1], text)
        await until_taken(channel, network)

    async def deletes() -> None:
        await network.delete(chat, users()[-1])
        await until_taken(channel, network)

    async def reacts(emoji: str) -> None:
        await network.react(chat, network.of_bot(chat)[-1]["id"], ANN, emoji)
        await until_taken(channel, network)

    async def presses(label: str) -> None:
        await network.press(chat, ANN, label)
        await until_taken(channel, network)

    async def renames(name: str) -> None:
        await network.rename(chat, name)
        await until_taken(channel, network)

    async def in_thread(text: str) -> None:
        await says(text, topic)

    def users() -> list[str]:
        return [one["id"] for one in network.messages[chat] if one["author"]["id"] == ANN]

    def answers() -> list[str | None]:
        found = (one.get("message_reference") for one in network.of_bot(chat))
        return [each["message_id"] if each else None for each in found]

    return ChannelUnderTest(
        channel,
        Address("discord", chat),
        lambda: [shown(text) for text in network.texts(chat)],
        says=says,
        presses=presses,
        down=network.down,
        rejecting=lambda: network.failing(400, 50035),
        silent=network.silent,
        edits=edits,
        deletes=deletes,
        reacts=reacts,
        renames=renames,
        files=lambda: [(name, data) for name, data in network.sent_files(chat) if isinstance(data, bytes)],
        discarding=nullcontext,  # the fake refuses large files before it reads them into memory
        sends_large=lambda name, size: says("", files=[(name, size)]),
        direct=DirectChat(f"discord:{ANN}", lambda: network.texts(bot.chat)),
        sends=lambda name, data: says("", files=[(name, data)]),
        answers=answers,
        reactions=lambda: network.reactions,
        thread=Thread(thread, lambda: [shown(text) for text in network.texts(topic)], in_thread),
    )


@pytest.mark.parametrize("check", channel_checks(discord), ids=str)
async def test_discord_conforms(check: Check) -> None:
    assert await check() in {None, *NOT_FOR_DISCORD}
