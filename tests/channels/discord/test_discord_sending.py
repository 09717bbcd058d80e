"""Messages reach Discord once each, whole, and in the form that it shows."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
import trio

from nanoclaw.channels.cards import with_marks
from nanoclaw.channels.discord.sending import DiscordSender
from nanoclaw.channels.protocol import ChannelUnavailable, DeliveryRejected
from nanoclaw.records import CardEditContent, EditContent, Option, Outgoing, QuestionContent, ReactionContent
from tests.channels.discord.bots import ANN, Bot, open_bot, soon

LONG = "\n\n".join(f"Paragraph {n}: " + "word " * 150 for n in range(6))


@asynccontextmanager
async def sending() -> AsyncIterator[tuple[Bot, DiscordSender]]:
    async with open_bot() as bot, bot.channel().sender() as sender:
        yield bot, sender


def joined(bot: Bot) -> list[str]:
    return "\n\n".join(bot.discord.texts(bot.chat)).split()


async def test_a_piece_that_arrived_is_not_sent_again_when_a_later_one_fails() -> None:
    async with sending() as (bot, sender):
        message = bot.says(LONG, markdown=True)
        bot.discord.fault = failing_from(2)
        with pytest.raises(ChannelUnavailable) as raised:
            await sender.deliver(message)
        assert (raised.value.retry_after, raised.value.condition) == (9.5, "rate limited")
        bot.discord.fault = None
        await sender.deliver(message)
        assert joined(bot) == LONG.split()


def failing_from(number: int) -> Any:
    """Return a fault: 429 from the n-th message on."""
    sent = 0

    def fault(method: str, path: str) -> tuple[int, dict[str, Any], dict[str, str]] | None:
        nonlocal sent
        sent += method == "POST" and path.endswith("/messages")
        body = {"message": "slow down", "retry_after": 9.5, "global": False}
        return (429, body, {"Via": "1.1 google"}) if sent >= number and path.endswith("/messages") else None

    return fault


async def test_another_process_finds_pieces_whose_nonce_is_forgotten() -> None:
    async with open_bot() as bot:
        message = bot.says(LONG, markdown=True)
        with bot.discord.silent():
            async with bot.channel().sender() as sender:
                with pytest.raises(Exception, match="503"):
                    await sender.deliver(message)
        bot.discord.forget_nonces()
        async with bot.channel().sender() as sender:
            assert await sender.find(message) is None  # of several pieces one has arrived
            receipt = await sender.deliver(message)
            assert await sender.find(message) == receipt
        assert joined(bot) == LONG.split()


async def test_equal_texts_are_not_taken_for_each_other() -> None:
    async with open_bot() as bot:
        async with bot.channel().sender() as sender:
            first = await sender.deliver(bot.says("ok", "out-1"))
        bot.discord.forget_nonces()
        async with bot.channel().sender() as sender:
            assert await sender.find(bot.says("ok", "out-2")) is None
            assert await sender.find(bot.says("ok", "out-1")) == first


async def test_an_edit_may_need_more_pieces_or_fewer() -> None:
    async with sending() as (bot, sender):
        receipt = await sender.deliver(bot.says(LONG, markdown=True))
        id_ = str(receipt.platform_message_id)
        before = len(bot.discord.texts(bot.chat))
        await sender.deliver(Outgoing("out-2", bot.address, EditContent(id_, "short")))
        assert bot.discord.texts(bot.chat) == ["short"]
        assert before > 1


async def test_an_edit_to_a_long_text_is_complete() -> None:
    async with sending() as (bot, sender):
        receipt = await sender.deliver(bot.says("short"))
        edit = Outgoing("out-2", bot.address, EditContent(str(receipt.platform_message_id), LONG))
        for _ in range(2):  # an edit of unknown outcome is done again
            await sender.deliver(edit)
        assert joined(bot) == LONG.split()


async def test_nobody_is_notified_by_what_an_agent_writes() -> None:
    async with sending() as (bot, sender):
        await sender.deliver(bot.says("@everyone <@7>", markdown=True))
        assert bot.discord.of_bot(bot.chat)[-1]["allowed_mentions"] == {"parse": []}


async def test_a_flood_is_left_to_the_host() -> None:
    async with sending() as (bot, sender):
        with bot.discord.flood(30.0):
            for n in range(20):
                with pytest.raises(ChannelUnavailable) as raised:
                    await sender.deliver(bot.says(f"{n}"))
                assert raised.value.retry_after == 30.0
        await sender.deliver(bot.says("0"))
        assert bot.discord.texts(bot.chat) == ["0"]


async def test_a_short_limit_is_waited_for() -> None:
    async with sending() as (bot, sender):
        bot.discord.bucket = (5, 0.3)
        for n in range(12):
            await sender.deliver(bot.says(f"{n}"))
        assert bot.discord.texts(bot.chat) == [f"{n}" for n in range(12)]


async def test_drafts_come_no_faster_than_discord_allows() -> None:
    async with sending() as (bot, sender):
        for n in range(40):
            await sender.draft(bot.address, f"draft {n}")
        edits = [call for call in bot.discord.calls if call[0] == "PATCH"]
        assert len(edits) <= 1
        await sender.deliver(bot.says("done"))
        assert bot.discord.texts(bot.chat) == ["done"]


async def test_the_draft_of_a_killed_process_is_removed() -> None:
    async with open_bot() as bot:
        async with bot.channel().sender() as sender:
            await sender.draft(bot.address, "half an ans")
        async with bot.channel().sender() as sender:
            assert bot.discord.texts(bot.chat) == []
            await sender.deliver(bot.says("answer"))
        async with bot.channel().sender():
            assert bot.discord.texts(bot.chat) == ["answer"]


async def test_a_draft_that_somebody_deleted_is_no_obstacle() -> None:
    async with sending() as (bot, sender):
        await sender.draft(bot.address, "half")
        bot.discord.messages[bot.chat].clear()
        await sender.deliver(bot.says("whole"))
        assert bot.discord.texts(bot.chat) == ["whole"]


async def test_cards_have_rows_of_five_and_end_without_buttons() -> None:
    options = tuple(Option(f"Choice {n}", f"{n}", "v" * 100 + str(n)) for n in range(12))
    question = QuestionContent("q" * 60, "Which?", "Choose.", options, multiple=True)
    async with sending() as (bot, sender):
        receipt = await sender.deliver(Outgoing("out-1", bot.address, with_marks(question, ())))
        id_ = str(receipt.platform_message_id)
        shown = bot.discord.find(bot.chat, id_)["components"]
        assert [len(row["components"]) for row in shown] == [5, 5, 3]
        changed = CardEditContent(id_, with_marks(question, {options[0].value}))
        await sender.deliver(Outgoing("out-2", bot.address, changed))
        assert bot.discord.find(bot.chat, id_)["components"][0]["components"][0]["label"] == "☑ Choice 0"
        await sender.deliver(Outgoing("out-3", bot.address, EditContent(id_, "Answer: Choice 0")))
        assert bot.discord.find(bot.chat, id_)["components"] == []


async def test_what_discord_cannot_show_is_rejected_with_the_reason() -> None:
    many = tuple(Option(f"{n}", f"{n}", f"{n}") for n in range(26))
    card = QuestionContent("q", "Which?", "Choose.", many)
    async with sending() as (bot, sender):
        with pytest.raises(DeliveryRejected, match="at most 25 buttons"):
            await sender.deliver(Outgoing("out-1", bot.address, card))
        message = str((await sender.deliver(bot.says("hi"))).platform_message_id)
        with pytest.raises(DeliveryRejected, match="Unknown Emoji"):
            await sender.deliver(Outgoing("out-2", bot.address, ReactionContent(message, "nope")))


async def test_the_direct_chat_of_a_user_is_found() -> None:
    async with sending() as (bot, sender):
        assert await sender.open_dm(f"discord:{ANN}") == bot.address
        for stranger in ("discord:404", "tg:7", "discord:x"):
            with pytest.raises(DeliveryRejected):
                await sender.open_dm(stranger)


async def test_typing_is_shown_once_in_a_while() -> None:
    async with sending() as (bot, sender):
        for _ in range(5):
            await sender.typing(bot.address)
        assert bot.discord.typing == [bot.chat]


async def test_messages_of_one_chat_keep_their_order_and_others_do_not_wait() -> None:
    async with sending() as (bot, sender), trio.open_nursery() as nursery:
        other = bot.discord.direct_chat("8", "ben")
        with bot.discord.silent(hangs=True):
            nursery.start_soon(sender.deliver, bot.says("slow"))
            await soon(lambda: bot.discord.texts(bot.chat))
        await sender.deliver(Outgoing("out-2", await sender.open_dm("discord:8"), bot.says("fast").content))
        assert bot.discord.texts(other) == ["fast"]
        nursery.cancel_scope.cancel()


async def test_the_texts_of_a_long_answer_are_in_order() -> None:
    text = " ".join(f"word{n}" for n in range(3_000))
    async with sending() as (bot, sender):
        await sender.deliver(bot.says(text, markdown=True))
        ids = [int(one["id"]) for one in bot.discord.of_bot(bot.chat)]
        assert all(one < other for one, other in pairwise(ids))
        assert joined(bot) == text.split()
