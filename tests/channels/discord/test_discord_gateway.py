"""Connections of a bot break in every way, and no event is lost, doubled or out of order."""

import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import trio
import trio.lowlevel

from nanoclaw.channels.discord.channel import DiscordChannel
from nanoclaw.channels.discord.sending import DiscordSender
from nanoclaw.channels.protocol import ChannelUnavailable
from nanoclaw.records import Deleted, InboundEvent
from nanoclaw.system.foreign import ungrouped
from nanoclaw.testing import MemoryState
from nanoclaw.testing.conformance.exchanges import Host
from nanoclaw.testing.networks.discord import BOT, open_fake_discord
from tests.channels.discord.bots import ANN, channel_of, open_bot, until_taken

SOON_S = 10.0


@asynccontextmanager
async def running(channel: DiscordChannel, host: Host) -> AsyncIterator[DiscordSender]:
    with trio.fail_after(SOON_S), ungrouped(ChannelUnavailable):
        async with channel.sender() as sender, trio.open_nursery() as nursery:
            nursery.start_soon(channel.receive, host)
            yield sender
            nursery.cancel_scope.cancel()


def texts(host: Host) -> Sequence[str]:
    return [event.message.text for event in host.stored if isinstance(event, InboundEvent)]


async def test_a_lost_connection_is_resumed_without_a_gap() -> None:
    async with open_bot() as bot:
        async with running(channel := bot.channel(), host := Host()):
            await bot.discord.say(bot.chat, ANN, "one")
            bot.discord.sessions.drop()
            await bot.discord.say(bot.chat, ANN, "two")
            await bot.discord.sessions.ask_to_reconnect()
            await bot.discord.say(bot.chat, ANN, "three")
            await until_taken(channel, bot.discord)
        assert texts(host) == ["one", "two", "three"]
        assert bot.discord.sessions.begun == 1


async def test_another_process_resumes_the_session_of_the_last_one() -> None:
    async with open_bot() as bot:
        async with running(channel := bot.channel(), host := Host()):
            await bot.discord.say(bot.chat, ANN, "one")
            await until_taken(channel, bot.discord)
        await bot.discord.say(bot.chat, ANN, "two")
        await bot.discord.delete(bot.chat, await bot.discord.say(bot.chat, ANN, "three"))
        async with running(channel := bot.channel(), host):
            await until_taken(channel, bot.discord)
        assert texts(host) == ["one", "two", "three"]
        assert [type(remark) for remark in host.remarks] == [Deleted]
        assert bot.discord.sessions.begun == 1


async def test_what_the_host_did_not_take_is_not_skipped_by_a_restart() -> None:
    async with open_bot() as bot:
        async with running(bot.channel(), host := Host(at_once=False)):
            await bot.discord.say(bot.chat, ANN, "one")
            await host.offered.wait()
            await bot.discord.say(bot.chat, ANN, "two")
        async with running(channel := bot.channel(), host := Host()):
            await until_taken(channel, bot.discord)
        assert texts(host) == ["one", "two"]


async def test_a_thousand_events_of_a_pause_arrive_in_order() -> None:
    async with open_bot() as bot:
        async with running(channel := bot.channel(), host := Host()):
            await bot.discord.say(bot.chat, ANN, "0")
            await until_taken(channel, bot.discord)
        for n in range(1, 1_001):
            await bot.discord.say(bot.chat, ANN, str(n))
        async with running(channel := bot.channel(), host):
            await until_taken(channel, bot.discord)
        assert texts(host) == [str(n) for n in range(1_001)]
        assert bot.discord.sessions.begun == 1


async def test_messages_of_a_forgotten_session_are_fetched_before_later_ones() -> None:
    async with open_bot() as bot:
        async with running(channel := bot.channel(), host := Host()):
            await bot.discord.say(bot.chat, ANN, "0")
            await until_taken(channel, bot.discord)
        for n in range(1, 251):
            await bot.discord.say(bot.chat, ANN, str(n))
        bot.discord.sessions.forget()
        async with running(channel := bot.channel(), host):
            await bot.discord.say(bot.chat, ANN, "251")
            await until_taken(channel, bot.discord)
        assert texts(host) == [str(n) for n in range(252)]
        assert bot.discord.sessions.begun == 2


async def test_a_chat_that_is_gone_stops_no_other() -> None:
    async with open_bot() as bot:
        gone = bot.discord.text_channel("gone")
        async with running(channel := bot.channel(), host := Host()):
            for chat in (gone, bot.chat):
                await bot.discord.say(chat, ANN, chat)
            await until_taken(channel, bot.discord)
        await bot.discord.say(bot.chat, ANN, "missed")
        del bot.discord.channels[gone]
        bot.discord.sessions.forget()
        async with running(channel := bot.channel(), host):
            await bot.discord.say(bot.chat, ANN, "later")
            await until_taken(channel, bot.discord)
        assert texts(host)[2:] == ["missed", "later"]


async def test_unreadable_events_cost_only_themselves() -> None:
    async with open_bot() as bot:
        async with running(channel := bot.channel(), host := Host()):
            damaged: list[Any] = [{}, {"channel_id": 7}, {"channel_id": bot.chat, "id": []}, [], None, "x"]
            for data in damaged:
                for name in ("MESSAGE_CREATE", "MESSAGE_DELETE", "INTERACTION_CREATE", "GUILD_CREATE", "NEW"):
                    await bot.discord.sessions.dispatch(name, data)
            await bot.discord.say(bot.chat, ANN, "one")
            await until_taken(channel, bot.discord)
        assert texts(host) == ["one"]


async def refusal(channel: DiscordChannel, once_connected: Callable[[], object] = int) -> ChannelUnavailable:
    """Return why a connection ends, or does not begin."""
    try:
        async with running(channel, Host()):
            once_connected()
            await trio.sleep_forever()
    except ChannelUnavailable as error:
        return error


async def test_a_bot_that_may_not_read_says_what_to_switch_on() -> None:
    async with open_bot() as bot:
        bot.discord.may_read = False
        error = await refusal(bot.channel())
        assert error.condition == "unauthorized"
        assert "Message Content Intent" in str(error)
        assert bot.discord.sessions.begun == 0


async def test_a_right_that_is_taken_later_is_seen_at_the_gateway() -> None:
    async with open_bot() as bot:

        def take_it() -> None:
            bot.discord.may_read = False
            bot.discord.sessions.forget()

        error = await refusal(bot.channel(), take_it)
        assert error.condition == "unauthorized"
        assert "Message Content Intent" in str(error)


async def test_a_refused_token_is_tried_again_once_it_is_changed() -> None:
    async with open_bot() as bot:
        channel = bot.channel()
        bot.discord.token = "new-token"  # noqa: S105 -- a fake's
        error = await refusal(channel)
        assert error.condition == "unauthorized"
        assert "bot-token" not in str(error)
        (bot.folder / "discord-token").write_text("new-token")
        async with running(channel, host := Host()):
            await bot.discord.say(bot.chat, ANN, "one")
            await until_taken(channel, bot.discord)
        assert texts(host) == ["one"]


async def test_a_server_that_is_gone_comes_back() -> None:
    async with open_bot() as bot:
        channel = bot.channel()
        async with running(channel, host := Host()):
            await bot.discord.say(bot.chat, ANN, "one")
            await until_taken(channel, bot.discord)
            with bot.discord.down():
                await trio.lowlevel.checkpoint()
        with bot.discord.down():
            error = await refusal(channel)
        assert error.condition == "down"
        await bot.discord.say(bot.chat, ANN, "two")
        async with running(channel, host):
            await until_taken(channel, bot.discord)
        assert texts(host) == ["one", "two"]


async def test_two_bots_of_two_networks_do_not_meet() -> None:
    async with open_bot() as bot, open_fake_discord("other-token") as other:
        chat = other.direct_chat(ANN, "ann")
        second = channel_of(other, bot.folder, MemoryState(), "second")
        async with running(channel := bot.channel(), host := Host()), running(second, host_2 := Host()):
            await bot.discord.say(bot.chat, ANN, "first")
            await other.say(chat, ANN, "second")
            await until_taken(channel, bot.discord)
            await until_taken(second, other)
        assert (texts(host), texts(host_2)) == (["first"], ["second"])


async def test_a_hanging_network_is_left_in_time_and_leaves_nothing() -> None:
    async with open_bot() as bot:
        before = threading.active_count()
        async with running(bot.channel(), Host()) as sender:
            with bot.discord.silent(hangs=True), trio.move_on_after(0.2):
                await sender.deliver(bot.says("one"))
            began = trio.current_time()
        assert trio.current_time() - began < 2.0
        left = [thread.name for thread in threading.enumerate() if "keep-alive" in thread.name]
        assert left == [], f"{before} threads before"


async def test_a_mention_is_read_from_the_message() -> None:
    async with open_bot() as bot:
        chat = bot.discord.text_channel("general")
        async with running(channel := bot.channel(), host := Host()):
            await bot.discord.say(chat, ANN, f"<@{BOT}> hi", mentions=[BOT])
            await bot.discord.say(chat, ANN, "hi")
            await until_taken(channel, bot.discord)
        found = [
            (one.message.text, one.message.is_mention) for one in host.stored if isinstance(one, InboundEvent)
        ]
        assert found == [("@nano hi", True), ("hi", False)]
