"""Presses of buttons and commands are answered in time, whatever the host does."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from attrs import Factory, define

from nanoclaw.channels.discord import interactions
from nanoclaw.records import Event, InboundEvent, Option, Outgoing, QuestionContent, Routed
from nanoclaw.testing.conformance.exchanges import Host
from nanoclaw.testing.networks.discord import Pressed
from tests.channels.discord.bots import ANN, Bot, open_bot, soon, until_taken

QUESTION = QuestionContent(
    "q-1", "Deploy", "Ship it?", (Option("Yes", "Yes", "yes"), Option("No", "No", "no"))
)
LONG = QuestionContent("q" * 90, "Long", "Ship it?", (Option("Yes", "Yes", "y" * 120),))


@define(eq=False)
class Busy(Host):
    """A host that takes long, and then drops the event."""

    let_go: trio.Event = Factory(trio.Event)
    dropped: str | None = None

    async def offer(self, event: Event) -> Routed:
        self.offered.set()
        await self.let_go.wait()
        return Routed(dropped=self.dropped) if self.dropped else await super().offer(event)


@asynccontextmanager
async def talking(host: Host) -> AsyncIterator[Bot]:
    async with open_bot() as bot:
        channel = bot.channel()
        async with channel.sender() as sender, trio.open_nursery() as nursery:
            nursery.start_soon(channel.receive, host)
            for n, card in enumerate((QUESTION, LONG)):
                await sender.deliver(Outgoing(f"card-{n}", bot.address, card))
            await until_taken(channel, bot.discord)
            yield bot
            nursery.cancel_scope.cancel()


async def answered(pressed: Pressed) -> int | None:
    with trio.fail_after(5):
        await pressed.answered.wait()
    return pressed.kind


async def test_a_press_is_confirmed_after_the_host_has_it() -> None:
    async with talking(host := Host()) as bot:
        assert await answered(await bot.discord.press(bot.chat, ANN, "No")) == 6
    assert [(one.question_id, one.value, one.user_id) for one in host.clicks] == [
        ("q-1", "no", f"discord:{ANN}")
    ]


async def test_a_press_that_does_not_count_is_answered_to_its_user_alone() -> None:
    async with talking(Host()) as bot:
        await answered(await bot.discord.press(bot.chat, ANN, "No"))
        again = await bot.discord.press(bot.chat, "8", "No")
        assert await answered(again) == 4
        assert again.private == ["it is answered"]


async def test_a_long_meaning_outlives_the_process() -> None:
    host = Host()
    async with talking(host) as bot:
        channel = bot.channel()
        async with channel.sender(), trio.open_nursery() as nursery:
            nursery.start_soon(channel.receive, host)
            bot.discord.messages[bot.chat][0]["components"] = []
            await answered(await bot.discord.press(bot.chat, ANN, "Yes"))
            nursery.cancel_scope.cancel()
    assert host.clicks[0].question_id == LONG.question_id
    assert host.clicks[0].value == LONG.options[0].value


async def test_an_unknown_button_says_that_it_is_too_old() -> None:
    async with talking(host := Host()) as bot:
        bot.discord.find(bot.chat, bot.discord.of_bot(bot.chat)[0]["id"])["components"][0]["components"][0][
            "custom_id"
        ] = "s:gone"
        bot.discord.messages[bot.chat][1]["components"] = []
        pressed = await bot.discord.press(bot.chat, ANN, "Yes")
        await answered(pressed)
        assert pressed.private == [interactions.UNKNOWN]
    assert host.clicks == []


@pytest.mark.parametrize("dropped", [None, "it is too late"])
async def test_a_slow_host_does_not_make_discord_give_up(
    dropped: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interactions, "DEFER_S", 0.05)
    host = Busy(let_go=trio.Event(), dropped=dropped)
    async with talking(host) as bot:
        pressed = await bot.discord.press(bot.chat, ANN, "No")
        assert await answered(pressed) == 6
        host.let_go.set()
        await soon(lambda: pressed.private if dropped else host.clicks)
        assert pressed.private == ([dropped] if dropped else [])


async def test_ask_is_a_message_that_everybody_sees() -> None:
    async with talking(host := Host()) as bot:
        general = bot.discord.text_channel("general")
        await answered(await bot.discord.command(general, ANN, "ask", text="why *?*"))
        assert bot.discord.texts(general) == [r"**ann** asks: why \*?\*"]
    [event] = [one for one in host.stored if isinstance(one, InboundEvent)]
    assert (event.message.text, event.message.is_mention, event.is_group) == ("why *?*", True, True)


async def test_help_is_for_its_user_and_wakes_nobody() -> None:
    async with talking(host := Host()) as bot:
        pressed = await bot.discord.command(bot.chat, ANN, "help")
        await answered(pressed)
        assert pressed.private == [interactions.HELP]
        assert [one["name"] for one in bot.discord.commands] == ["ask", "help"]
    assert host.stored == []
