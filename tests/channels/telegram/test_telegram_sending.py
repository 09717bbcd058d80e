"""Messages of agents arrive at Telegram whole, once, and within its limits."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest
import trio
import trio.testing

from nanoclaw.channels import secrets
from nanoclaw.channels.protocol import (
    ChannelUnavailable,
    DeliveryRejected,
    DirectSender,
    DraftingSender,
    Sender,
)
from nanoclaw.records import (
    Address,
    CardEditContent,
    EditContent,
    Option,
    Outgoing,
    OutgoingFile,
    QuestionContent,
    ReactionContent,
    TextContent,
)
from nanoclaw.system.foreign import ungrouped
from nanoclaw.testing.conformance.exchanges import Host, receiving
from nanoclaw.testing.networks.telegram import FakeChat, FakeUser
from tests.channels.telegram.stage import Stage, open_stage

LONG = "\n\n".join(f"Paragraph {n}. " + "word " * 200 for n in range(10))


@asynccontextmanager
async def sending() -> AsyncIterator[tuple[Stage, DraftingSender, FakeUser]]:
    async with open_stage() as stage, stage.channel.sender() as sender:
        yield stage, cast("DraftingSender", sender), stage.telegram.user("Ann")


def text(stage: Stage, chat: FakeChat, said: str, key: str = "out-1", *, markdown: bool = False) -> Outgoing:
    return Outgoing(key, stage.address(chat), TextContent(said, markdown))


def shown(stage: Stage, chat: FakeChat) -> list[str]:
    return [one.text for one in stage.telegram.shown(chat)]


# -- texts


async def test_markdown_becomes_entities() -> None:
    async with sending() as (stage, sender, ann):
        await sender.deliver(text(stage, ann.chat, "# Rain\n\n**much** `x_1`", markdown=True))
        [message] = stage.telegram.shown(ann.chat)
    assert message.text == "Rain\n\nmuch x_1"
    assert {one["type"] for one in message.entities} >= {"bold", "code"}


async def test_a_table_is_shown_as_code() -> None:
    async with sending() as (stage, sender, ann):
        await sender.deliver(text(stage, ann.chat, "|a|b|\n|-|-|\n|1|2|", markdown=True))
        [message] = stage.telegram.shown(ann.chat)
    assert {one["type"] for one in message.entities} == {"pre"}


@pytest.mark.parametrize("markdown", [False, True])
async def test_a_long_text_arrives_in_pieces(markdown: bool) -> None:  # noqa: FBT001 -- a parameter of pytest
    async with sending() as (stage, sender, ann):
        receipt = await sender.deliver(text(stage, ann.chat, LONG, markdown=markdown))
        messages = stage.telegram.shown(ann.chat)
    assert len(messages) > 2
    assert " ".join(one.text for one in messages).split() == LONG.split()
    assert receipt.platform_message_id == str(messages[0].id)


async def test_emoji_count_as_telegram_counts_them() -> None:
    async with sending() as (stage, sender, ann):
        await sender.deliver(text(stage, ann.chat, "😀" * 4_000))
        assert "".join(shown(stage, ann.chat)) == "😀" * 4_000


async def test_a_flood_after_the_first_piece_repeats_no_piece() -> None:
    async with sending() as (stage, sender, ann):
        message = text(stage, ann.chat, LONG)
        stage.telegram.flood(0, chat=ann.chat)  # the first one passes
        stage.telegram.flood(7, chat=ann.chat)
        with pytest.raises(ChannelUnavailable) as raised:
            await sender.deliver(message)
        await sender.deliver(message)
        assert " ".join(shown(stage, ann.chat)).split() == LONG.split()
    assert (raised.value.retry_after, raised.value.condition) == (7, "rate limited")


async def test_an_edit_of_a_long_text_changes_all_of_its_pieces() -> None:
    async with sending() as (stage, sender, ann):
        receipt = await sender.deliver(text(stage, ann.chat, LONG))
        edit = EditContent(receipt.platform_message_id or "", "short")
        await sender.deliver(Outgoing("out-2", stage.address(ann.chat), edit))
        assert shown(stage, ann.chat) == ["short"]


async def test_an_edit_that_changes_nothing_is_delivered() -> None:
    async with sending() as (stage, sender, ann):
        receipt = await sender.deliver(text(stage, ann.chat, "one"))
        edit = EditContent(receipt.platform_message_id or "", "one")
        await sender.deliver(Outgoing("out-2", stage.address(ann.chat), edit))
        assert shown(stage, ann.chat) == ["one"]


# -- refusals


async def test_a_user_who_blocked_the_bot_gets_nothing() -> None:
    async with sending() as (stage, sender, ann):
        ann.chat.blocked = True
        with pytest.raises(DeliveryRejected, match="blocked"):
            await sender.deliver(text(stage, ann.chat, "one"))


async def test_one_chat_in_a_flood_keeps_back_no_other() -> None:
    async with sending() as (stage, sender, ann):
        ben = stage.telegram.user("Ben")
        stage.telegram.flood(60, chat=ann.chat)
        with pytest.raises(ChannelUnavailable):
            await sender.deliver(text(stage, ann.chat, "one"))
        await sender.deliver(text(stage, ben.chat, "two"))
        assert shown(stage, ben.chat) == ["two"]


async def test_telegram_out_of_order_took_nothing() -> None:
    async with sending() as (stage, sender, ann):
        with stage.telegram.refusing(502, "Bad Gateway"), pytest.raises(ChannelUnavailable, match="502"):
            await sender.deliver(text(stage, ann.chat, "one"))


@pytest.mark.parametrize("thread", ["cakes", "99999"])
async def test_a_topic_that_is_none_is_rejected(thread: str) -> None:
    async with sending() as (stage, sender, ann):
        club = stage.telegram.group("Club", [ann], topics=["Cakes"])
        with pytest.raises(DeliveryRejected):
            await sender.deliver(
                Outgoing("out-1", Address("family", str(club.id), thread), TextContent("one"))
            )


async def test_a_reaction_that_telegram_lacks_is_rejected_with_those_that_it_has() -> None:
    async with sending() as (stage, sender, ann):
        await stage.telegram.confirmed(0)
        ann.says("one")
        [message] = ann.chat.messages.values()
        for emoji, fits in (("❤️", True), ("🦖", False)):
            react = Outgoing(f"out-{emoji}", stage.address(ann.chat), ReactionContent(str(message.id), emoji))
            if fits:
                await sender.deliver(react)
                continue
            with pytest.raises(DeliveryRejected, match="👍"):
                await sender.deliver(react)
        assert message.reactions[stage.telegram.bot_id] == ("❤",)


async def test_a_group_that_moved_gets_its_messages() -> None:
    async with sending() as (stage, sender, ann):
        club = stage.telegram.group("Club", [ann], old=True)
        new = stage.telegram.migrates(ann, club)
        receipt = await sender.deliver(text(stage, club, "one"))
        edit = EditContent(receipt.platform_message_id or "", "two")
        await sender.deliver(Outgoing("out-2", stage.address(club), edit))
        assert shown(stage, new) == ["two"]


# -- files


def a_file(folder: Path, name: str, data: bytes) -> OutgoingFile:
    path = folder / name
    path.write_bytes(data)
    return OutgoingFile(name, path, len(data))


async def test_several_files_are_one_album_with_the_text_as_its_caption(tmp_path: Path) -> None:
    async with sending() as (stage, sender, ann):
        files = tuple(a_file(tmp_path, f"{n}.txt", bytes([n]) * 100) for n in range(1, 13))
        await sender.deliver(Outgoing("out-1", stage.address(ann.chat), TextContent("all"), files=files))
        messages = stage.telegram.shown(ann.chat)
    assert [(one.file.name, one.file.data) for one in messages if one.file] == [
        (file.name, file.data) for file in files
    ]
    assert [one.text for one in messages if one.text] == ["all"]
    assert len({one.media_group_id for one in messages}) == 2


async def test_a_file_that_is_too_large_is_rejected_before_it_is_sent(tmp_path: Path) -> None:
    async with sending() as (stage, sender, ann):
        path = tmp_path / "film.mkv"
        with path.open("wb") as file:
            file.truncate(50_000_001)
        film = OutgoingFile("film.mkv", path, 50_000_001)
        with pytest.raises(DeliveryRejected, match="at most 50 MB"):
            await sender.deliver(Outgoing("out-1", stage.address(ann.chat), TextContent(""), files=(film,)))


# -- cards


QUESTION = QuestionContent(
    "question-" + "x" * 100,
    "Deploy",
    "Ship it?",
    tuple(Option(f"{name}!", name, name * 20) for name in ("Yes", "No", "Later")),
)


async def test_a_press_that_counts_for_nothing_says_why() -> None:
    async with sending() as (stage, sender, ann):
        await sender.deliver(Outgoing("out-1", stage.address(ann.chat), QUESTION))
        async with receiving(stage.channel, host := Host()):
            await stage.telegram.confirmed(ann.presses("No!"))
            await stage.telegram.confirmed(ann.presses("Yes!"))
        assert [(one.question_id, one.value) for one in host.clicks] == [(QUESTION.question_id, "No" * 20)]
        assert stage.telegram.notices == ["", "it is answered"]


async def test_a_press_is_understood_after_a_restart_of_the_host() -> None:
    async with sending() as (stage, sender, ann):
        await sender.deliver(Outgoing("out-1", stage.address(ann.chat), QUESTION))
        again = stage.another()
        async with again.sender(), receiving(again, host := Host()):
            await stage.telegram.confirmed(ann.presses("Later!"))
    assert [one.value for one in host.clicks] == ["Later" * 20]


async def test_invented_button_data_is_no_press() -> None:
    async with sending() as (stage, sender, ann):
        receipt = await sender.deliver(Outgoing("out-1", stage.address(ann.chat), QUESTION))
        card = ann.chat.messages[int(receipt.platform_message_id or "")]
        async with receiving(stage.channel, host := Host()):
            for data in ("", ":", "yes", "q:1", "ä" * 30):
                await stage.telegram.confirmed(stage.telegram.pressed(ann, ann.chat, card, data))
    assert host.clicks == []


async def test_a_card_that_is_edited_to_a_text_loses_its_buttons() -> None:
    async with sending() as (stage, sender, ann):
        receipt = await sender.deliver(Outgoing("out-1", stage.address(ann.chat), QUESTION))
        id_ = receipt.platform_message_id or ""
        await sender.deliver(Outgoing("out-2", stage.address(ann.chat), CardEditContent(id_, QUESTION)))
        [card] = stage.telegram.shown(ann.chat)
        assert card.text == "Deploy\nShip it?"
        assert card.keyboard
        await sender.deliver(Outgoing("out-3", stage.address(ann.chat), EditContent(id_, "Answer: Yes")))
        assert (card.text, card.keyboard) == ("Answer: Yes", ())


# -- drafts


async def test_a_draft_in_a_direct_chat_is_no_message() -> None:
    async with sending() as (stage, sender, ann):
        await sender.draft(stage.address(ann.chat), "once upon")
        await stage.telegram.until_called("sendMessageDraft")
        assert (ann.chat.draft, shown(stage, ann.chat)) == ("once upon", [])
        await sender.deliver(text(stage, ann.chat, "once upon a time"))
        assert (ann.chat.draft, shown(stage, ann.chat)) == (None, ["once upon a time"])


async def test_the_answer_takes_the_place_of_a_draft_in_a_group() -> None:
    async with sending() as (stage, sender, ann):
        club = stage.telegram.group("Club", [ann])
        await sender.draft(stage.address(club), "once upon")
        [draft] = await stage.telegram.until_shown(club)
        await sender.deliver(text(stage, club, "once upon a time"))
        assert stage.telegram.shown(club) == [draft]
        assert draft.text == "once upon a time"


async def test_the_newest_draft_is_shown_and_those_between_are_skipped() -> None:
    async with sending() as (stage, sender, ann):
        for n in range(200):
            await sender.draft(stage.address(ann.chat), f"draft {n}")
        while ann.chat.draft != "draft 199":
            await stage.telegram.changed()
        assert ann.chat.drafts_shown <= 3


async def test_a_draft_that_a_crash_left_behind_is_removed() -> None:
    async with sending() as (stage, sender, ann):
        club = stage.telegram.group("Club", [ann])
        await sender.draft(stage.address(club), "once upon")
        await stage.telegram.until_shown(club)
        await trio.testing.wait_all_tasks_blocked(0.01)  # its id is kept
        async with stage.another().sender():
            assert shown(stage, club) == []


async def test_an_answer_that_was_edited_in_place_survives_the_next_start() -> None:
    async with sending() as (stage, sender, ann):
        club = stage.telegram.group("Club", [ann])
        await sender.draft(stage.address(club), "once upon")
        await stage.telegram.until_shown(club)
        await sender.deliver(text(stage, club, "the end"))
        async with stage.another().sender():
            assert shown(stage, club) == ["the end"]


# -- people and connections


async def test_the_direct_chat_of_a_user_is_found_once_they_have_written() -> None:
    async with sending() as (stage, sender, ann):
        direct = cast("DirectSender", sender)
        assert await direct.open_dm(f"tg:{ann.id}") == stage.address(ann.chat)
        for stranger in ("tg:4711", "discord:1", "tg:-5", "tg:x"):
            with pytest.raises(DeliveryRejected):
                await direct.open_dm(stranger)


async def test_a_changed_token_connects_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "LOOK_S", 0.05)
    with pytest.raises(ChannelUnavailable, match="secret has changed"), ungrouped(ChannelUnavailable):
        await _change_the_token()


async def _change_the_token() -> None:
    async with open_stage() as stage, stage.channel.sender():
        (stage.folder / "token").write_text("7000001:new")
        await trio.sleep_forever()


async def test_leaving_takes_no_time_while_telegram_hangs() -> None:
    async with open_stage() as stage:
        ann = stage.telegram.user("Ann")
        with trio.fail_after(10):
            async with stage.channel.sender() as sender, receiving(stage.channel, Host()):
                await _hang(stage, sender, ann)
                left = trio.current_time()
        assert trio.current_time() - left < 2


async def _hang(stage: Stage, sender: Sender, ann: FakeUser) -> None:
    """Deliver to a Telegram that does not answer, and leave in the middle."""
    stage.telegram.slow_s = 3600
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sender.deliver, text(stage, ann.chat, "one"))
        await stage.telegram.until_called("sendMessage")
        nursery.cancel_scope.cancel()
