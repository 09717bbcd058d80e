"""Updates of Telegram become events of the host, whatever they hold."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from attrs import Factory, define
from hypothesis import given
from hypothesis import strategies as st

from nanoclaw.channels.protocol import ChannelUnavailable
from nanoclaw.channels.telegram import polling
from nanoclaw.channels.telegram.moves import Moves
from nanoclaw.channels.telegram.receiving import BadUpdate, Reader
from nanoclaw.records import (
    BadEvent,
    ChatRenamed,
    Deleted,
    Event,
    InboundEvent,
    Joined,
    Left,
    Reacted,
    Routed,
    received,
)
from nanoclaw.system.foreign import ungrouped
from nanoclaw.testing import MemoryState
from nanoclaw.testing.conformance.exchanges import Host, receiving
from nanoclaw.testing.networks.telegram import FakeFile
from tests.channels.telegram.stage import Stage, open_stage


@define(eq=False)
class Listed(Host):
    """A host that lists what it hears, without looking for repetitions."""

    heard: list[Event] = Factory(list)

    async def offer(self, event: Event) -> Routed:
        await trio.lowlevel.checkpoint()
        self.heard.append(event)
        return Routed()


@asynccontextmanager
async def listening(host: Host | None = None) -> AsyncIterator[tuple[Stage, Host]]:
    """Open a stage whose channel is connected and receives."""
    taking = host or Host()
    async with open_stage() as stage, stage.channel.sender(), receiving(stage.channel, taking):
        yield stage, taking


def texts(host: Host) -> list[str]:
    return [event.message.text for event in host.stored]


async def test_an_album_is_one_message() -> None:
    async with listening() as (stage, host):
        ann = stage.telegram.user("Ann")
        pictures = [FakeFile("photo", "", bytes([n]) * 9) for n in range(3)]
        await stage.telegram.confirmed(ann.sends(*pictures, caption="my cats"))
    [event] = host.stored
    assert (event.message.text, len(event.message.attachments)) == ("my cats", 3)


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "ALBUM_WAIT_S", 0.05)


async def test_an_album_that_comes_in_two_parts_is_one_message() -> None:
    async with listening() as (stage, host):
        telegram = stage.telegram
        ann = telegram.user("Ann")
        await telegram.until_called("getUpdates")
        ann.sends(*(FakeFile("photo", "", b"x") for _ in range(2)), caption="cats")
        [first, second] = telegram.updates
        telegram.updates.remove(second)
        await telegram.changed()  # the first part is taken
        telegram.updates.append(second)
        await telegram.confirmed(second["update_id"])
        assert first["message"]["media_group_id"] == second["message"]["media_group_id"]
    [event] = host.stored
    assert len(event.message.attachments) == 2


@pytest.mark.parametrize(
    ("kind", "name", "type_"),
    [
        ("voice", "voice-1.ogg", "voice"),
        ("photo", "photo-1.jpg", "image"),
        ("video", "video-1.mp4", "video"),
        ("sticker", "sticker-1.webp", "sticker"),
        ("video_note", "video-note-1.mp4", "video"),
        ("animation", "animation-1.mp4", "video"),
    ],
)
async def test_files_without_a_name_get_one(kind: str, name: str, type_: str) -> None:
    async with listening() as (stage, host):
        ann = stage.telegram.user("Ann")
        await stage.telegram.confirmed(ann.sends(FakeFile(kind, "", b"data")))
    [file] = host.stored[0].message.attachments
    assert (file.name, file.type) == (name, type_)


async def test_a_file_that_bots_may_not_fetch_is_a_line_of_the_message() -> None:
    async with listening() as (stage, host):
        ann = stage.telegram.user("Ann")
        await stage.telegram.confirmed(
            ann.sends(FakeFile("document", "film.mkv", bytes(20_000_001)), caption="look")
        )
    [text] = texts(host)
    assert text.startswith("look\n")
    assert "'film.mkv'" in text
    assert "at most 20 MB" in text


async def test_no_file_stays_in_the_channels_folder() -> None:
    async with listening() as (stage, _host):
        ann = stage.telegram.user("Ann")
        await stage.telegram.confirmed(ann.sends(FakeFile("document", "a.txt", b"a")))
        assert list((stage.folder / "media").iterdir()) == []


async def test_mentions_and_answers_call_the_assistant() -> None:
    async with listening() as (stage, host):
        telegram = stage.telegram
        ann = telegram.user("Ann")
        club = telegram.group("Club", [ann])
        name = f"@{telegram.username}"
        mention = [{"type": "mention", "offset": 6, "length": len(name)}]
        await telegram.confirmed(ann.says(f"hello {name}", club, entities=mention))
        command = [{"type": "bot_command", "offset": 0, "length": len(f"/do{name}")}]
        await telegram.confirmed(ann.says(f"/do{name}", club, entities=command))
        await telegram.confirmed(ann.says("hello all", club))
    assert [event.message.is_mention for event in host.stored] == [True, True, False]
    assert all(event.is_group and event.chat_name == "Club" for event in host.stored)


async def test_a_group_that_becomes_a_supergroup_stays_the_same_chat() -> None:
    async with listening() as (stage, host):
        telegram = stage.telegram
        ann = telegram.user("Ann")
        club = telegram.group("Club", [ann], old=True)
        await telegram.confirmed(ann.says("before", club))
        new = telegram.migrates(ann, club)
        await telegram.confirmed(ann.says("after", new))
        await telegram.confirmed(ann.says("later", new))
    assert texts(host) == ["before", "after", "later"]
    assert {event.address for event in host.stored} == {stage.address(club)}
    assert len({event.message_id for event in host.stored}) == 3


async def test_an_edit_that_changes_no_text_is_not_offered() -> None:
    async with listening() as (stage, host):
        telegram = stage.telegram
        ann = telegram.user("Ann")
        await telegram.confirmed(ann.says("one"))
        [message] = ann.chat.messages.values()
        await telegram.confirmed(ann.edits(message, "one"))
        await telegram.confirmed(ann.edits(message, "two"))
    assert texts(host) == ["one", "two"]


async def test_a_reaction_that_is_changed_takes_the_first_one_back() -> None:
    async with listening() as (stage, host):
        telegram = stage.telegram
        ann = telegram.user("Ann")
        await telegram.confirmed(ann.says("one"))
        [message] = ann.chat.messages.values()
        await telegram.confirmed(ann.reacts(message, "👍"))
        await telegram.confirmed(ann.reacts(message, "🔥"))
    found = [(each.emoji, each.removed) for each in host.remarks if isinstance(each, Reacted)]
    assert found == [("👍", False), ("🔥", False), ("👍", True)]


async def test_names_of_groups_and_people_who_come_and_go_are_told() -> None:
    async with listening(Listed()) as (stage, host):
        telegram = stage.telegram
        ann, ben = telegram.user("Ann"), telegram.user("Ben")
        club = telegram.group("Club", [ann])
        telegram.renames(ann, club, "Bakers")
        telegram.joins(ben, club)
        await telegram.confirmed(telegram.leaves(ben, club))
    assert isinstance(host, Listed)
    where = stage.address(club)
    assert host.heard == [
        ChatRenamed(where, "1", "Bakers"),
        Joined(where, "2", f"tg:{ben.id}", "Ben"),
        Left(where, "3", f"tg:{ben.id}", "Ben"),
    ]


@pytest.mark.parametrize(
    "hostile",
    [
        "a text",
        {"message_id": "seven"},
        {"message_id": 1, "date": 10**30, "chat": {"id": 5, "type": "private"}, "text": "x"},
        {"message_id": 1, "date": 1, "chat": {"id": 5, "type": "private"}, "text": 5},
        {"message_id": 1, "date": 1, "chat": "club", "text": "x"},
    ],
)
async def test_an_update_that_cannot_be_read_stops_nothing(hostile: Any) -> None:
    async with listening() as (stage, host):
        telegram = stage.telegram
        ann = telegram.user("Ann")
        telegram.queue("message", hostile)
        telegram.queue("message_of_next_year", {})
        await telegram.confirmed(ann.says("still here"))
    assert texts(host)[-1:] == ["still here"]


async def test_a_backlog_comes_in_order() -> None:
    async with open_stage() as stage:
        telegram = stage.telegram
        users = [telegram.user(name) for name in ("Ann", "Ben", "Cat")]
        last = 0
        for n in range(1_000):
            last = users[n % 3].says(str(n))
        async with stage.channel.sender(), receiving(stage.channel, host := Listed()):
            await telegram.confirmed(last)
    for n, user in enumerate(users):
        mine = [event for event in host.heard if event.address == stage.address(user.chat)]
        heard = [event.message.text for event in mine if isinstance(event, InboundEvent)]
        assert [int(text) for text in heard] == list(range(n, 1_000, 3))


async def test_one_chat_that_is_not_accepted_keeps_back_no_other() -> None:
    class Choosy(Host):
        async def offer(self, event: Event) -> Routed:
            at_once = event.address.platform_id != "100"
            if not at_once and not self.stored:
                self.refusals = 1
            return await super().offer(event)

    async with listening(Choosy()) as (stage, host):
        ann, ben = stage.telegram.user("Ann"), stage.telegram.user("Ben")
        ann.says("one")
        ben.says("two")
        await stage.telegram.confirmed(ann.says("three"))
    assert sorted(texts(host)) == ["one", "three", "two"]
    assert texts(host).index("one") < texts(host).index("three")


async def test_a_second_poller_is_a_conflict() -> None:
    async def poll_twice(stage: Stage) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stage.channel.receive, Host())
            await stage.telegram.until_called("getUpdates")
            stage.telegram.new_poller()

    async with open_stage() as stage, stage.channel.sender():
        with pytest.raises(ChannelUnavailable) as raised, ungrouped(ChannelUnavailable):
            await poll_twice(stage)
    assert raised.value.condition == "conflict"


async def test_a_token_that_is_refused_is_said_so() -> None:
    async with open_stage() as stage:
        stage.telegram.token = "7000001:another"  # noqa: S105 -- of a fake
        with pytest.raises(ChannelUnavailable, match="BotFather") as raised, ungrouped(ChannelUnavailable):
            async with stage.channel.sender():
                raise AssertionError
    assert raised.value.condition == "unauthorized"


# -- any JSON at all --------------------------------------------------------------------------------

CHAT = {"id": 5, "type": "supergroup", "title": "t"}
MESSAGE = {"message_id": 1, "date": 1, "chat": CHAT, "from": {"id": 3, "is_bot": False, "first_name": "A"}}
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
FIELDS = (
    "text", "caption", "entities", "photo", "document", "voice", "sticker", "poll", "location", "contact",
    "venue", "dice", "reply_to_message", "quote", "media_group_id", "message_thread_id", "is_topic_message",
    "sender_chat", "migrate_to_chat_id", "forward_origin", "from", "chat", "date",
)  # fmt: skip
KINDS = ("message", "edited_message", "callback_query", "message_reaction", "my_chat_member")
messages = st.dictionaries(st.sampled_from(FIELDS), anything, max_size=4).map(lambda more: MESSAGE | more)
updates = st.builds(
    lambda kind, what: {"update_id": 1, kind: what}, st.sampled_from(KINDS), messages | anything
)


@given(updates | anything)
def test_any_update_is_read_or_refused(raw: object) -> None:
    reader = Reader("family", 1, "bot", Moves(MemoryState()))
    try:
        found = reader.read(raw)
    except BadUpdate:
        return
    for each in found:
        event = getattr(each, "event", each)
        if isinstance(event, InboundEvent | Reacted | Deleted | ChatRenamed | Joined | Left):
            _take(event)


def _take(event: Event) -> None:
    try:
        received(event)
    except BadEvent:  # the batch logs it and goes on
        return
