"""The channel conforms to the protocol, in direct chats and in groups with topics."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest

from nanoclaw.testing.conformance import ChannelUnderTest, Check, DirectChat, Thread, channel_checks
from nanoclaw.testing.networks.telegram import FakeChat, FakeFile, FakeMessage, FakeUser
from tests.channels.telegram.stage import Stage, open_stage


def under_test(  # noqa: C901 -- one hook after the other
    stage: Stage, ann: FakeUser, chat: FakeChat, thread: Thread | None
) -> ChannelUnderTest:
    telegram, ben = stage.telegram, stage.telegram.user("Ben")

    def shown() -> list[FakeMessage]:
        return [one for one in telegram.shown(chat) if one.thread_id is None]

    def mine() -> FakeMessage:
        return [one for one in chat.messages.values() if one.sender_id == ann.id][-1]

    async def says(text: str) -> None:
        await telegram.confirmed(ann.says(text, chat))

    async def sends(name: str, data: bytes) -> None:
        await telegram.confirmed(ann.sends(FakeFile("document", name, data), in_=chat))

    async def presses(label: str) -> None:
        await telegram.confirmed(ann.presses(label, chat))

    async def edits(text: str) -> None:
        await telegram.confirmed(ann.edits(mine(), text, chat))

    async def reacts(emoji: str) -> None:
        await telegram.confirmed(ann.reacts(shown()[-1], emoji, in_=chat))

    def reactions() -> list[tuple[str, str]]:
        given = [(one.id, one.reactions.get(telegram.bot_id, ())) for one in chat.messages.values()]
        return [(str(id_), emoji) for id_, emojis in given for emoji in emojis]

    async def renames(title: str) -> None:
        await telegram.confirmed(telegram.renames(ann, chat, title))

    async def joins() -> None:
        await telegram.confirmed(telegram.joins(ben, chat))

    async def leaves() -> None:
        await telegram.confirmed(telegram.leaves(ben, chat))

    async def sends_large(name: str, size: int) -> None:
        file = FakeFile("document", name, b"", announced=size)
        await telegram.confirmed(ann.sends(file, in_=chat))

    return ChannelUnderTest(
        stage.channel,
        stage.address(chat),
        lambda: [one.text for one in shown() if one.text],
        says=says,
        sends=sends,
        presses=presses,
        edits=edits,
        reacts=reacts,
        down=telegram.gone,
        rejecting=partial(telegram.refusing, 400, "Bad Request: chat not found"),
        silent=telegram.silent,
        files=lambda: [(one.file.name, one.file.data) for one in shown() if one.file],
        answers=lambda: [None if one.reply_to is None else str(one.reply_to) for one in shown() if one.text],
        reactions=reactions,
        thread=thread,
        renames=renames if chat.kind != "private" else None,
        joins=joins if chat.kind != "private" else None,
        leaves=leaves if chat.kind != "private" else None,
        direct=DirectChat(f"tg:{ann.id}", lambda: [one.text for one in telegram.shown(ann.chat)]),
        discarding=telegram.discarding,
        sends_large=sends_large,
    )


@asynccontextmanager
async def a_direct_chat() -> AsyncIterator[ChannelUnderTest]:
    async with open_stage() as stage:
        ann = stage.telegram.user("Ann")
        yield under_test(stage, ann, ann.chat, None)


@asynccontextmanager
async def a_group_with_topics() -> AsyncIterator[ChannelUnderTest]:
    async with open_stage() as stage:
        telegram = stage.telegram
        ann = telegram.user("Ann")
        club = telegram.group("Club", [ann], topics=["Cakes"])
        [topic] = club.topics

        async def says(text: str) -> None:
            await telegram.confirmed(ann.says(text, club, thread=topic))

        thread = Thread(
            stage.address(club, topic), lambda: [one.text for one in telegram.shown(club, topic)], says
        )
        yield under_test(stage, ann, club, thread)


@pytest.mark.parametrize("check", channel_checks(a_direct_chat), ids=str)
async def test_a_direct_chat_conforms(check: Check) -> None:
    await check()


@pytest.mark.parametrize("check", channel_checks(a_group_with_topics), ids=str)
async def test_a_group_conforms(check: Check) -> None:
    await check()
