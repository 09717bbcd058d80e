"""Encrypted rooms, with a user whose client is nio's own."""

from pathlib import Path
from typing import Any

import nio
import pytest
import trio

from nanoclaw import Address, InboundEvent
from nanoclaw.channels.matrix import sdk
from nanoclaw.channels.protocol import DeliveryRejected
from nanoclaw.records import Outgoing, TextContent
from nanoclaw.testing import MemoryState
from nanoclaw.testing.files import file_to_send
from tests.channels.matrix.accounts import Inbox, channel, running, text
from tests.channels.matrix.friend import open_friend
from tests.channels.matrix.media_of_clients import encrypted_upload, opened
from tests.channels.matrix.synapse import Synapse


async def test_an_encrypted_direct_chat_works_in_both_directions(server: Synapse, tmp_path: Path) -> None:
    bot, inbox = server.person("bot"), Inbox()
    async with (
        open_friend(server.person("ann"), tmp_path / "ann") as ann,
        running(channel(server.base, bot.user_id, tmp_path), inbox) as sender,
    ):
        room = await ann.opens(bot.user_id)
        await ann.says(room, "hello")
        assert await inbox.texts(1) == ["hello"]
        [event] = inbox.events
        assert isinstance(event, InboundEvent)
        assert not event.is_group
        receipt = await sender.deliver(text(event.address, "**hi**"))
        [seen] = await ann.messages(1)
    assert seen["was_encrypted"]
    assert seen["content"]["formatted_body"] == "<p><strong>hi</strong></p>"
    assert seen["event_id"] == receipt.platform_message_id


async def test_a_message_that_is_sent_again_by_another_process_is_the_same_event(
    server: Synapse, tmp_path: Path
) -> None:
    bot, state = server.person("bot"), MemoryState()
    async with open_friend(server.person("ann"), tmp_path / "ann") as ann:
        async with running(channel(server.base, bot.user_id, tmp_path, state)) as sender:
            room = await ann.opens(bot.user_id)
            first = await sender.deliver(text(Address("matrix", room), "once"))
        async with running(channel(server.base, bot.user_id, tmp_path, state)) as sender:
            again = await sender.deliver(text(Address("matrix", room), "once"))
            await sender.deliver(text(Address("matrix", room), "twice", "out-2"))
        seen = await ann.messages(2)
    assert first == again
    assert [each["content"]["body"] for each in seen] == ["once", "twice"]


async def test_no_message_is_lost_if_the_process_dies_after_its_key_came(
    server: Synapse, tmp_path: Path
) -> None:
    bot, state = server.person("bot"), MemoryState()
    async with open_friend(server.person("ann"), tmp_path / "ann") as ann:
        refuses = Inbox(accepts=False)
        async with running(channel(server.base, bot.user_id, tmp_path, state), refuses):
            room = await ann.opens(bot.user_id)
            await ann.says(room, "hello")
            with trio.fail_after(20):
                await refuses.offered.wait()
        inbox = Inbox()
        async with running(channel(server.base, bot.user_id, tmp_path, state), inbox):
            assert await inbox.texts(1) == ["hello"]


async def test_a_message_whose_key_is_late_is_read_once_it_comes(server: Synapse, tmp_path: Path) -> None:
    bot, inbox = server.person("bot"), Inbox()
    it = channel(server.base, bot.user_id, tmp_path)
    it.tell_after_s = 0.0
    async with open_friend(server.person("ann"), tmp_path / "ann") as ann, running(it, inbox):
        room = await ann.opens(bot.user_id)
        kept = list[Any]()
        send = ann.client._send

        async def without_keys(response_class: type, *args: Any, **more: Any) -> Any:
            if response_class is not nio.responses.ShareGroupSessionResponse:
                return await send(response_class, *args, **more)
            kept.append((response_class, args, more))
            return nio.responses.ShareGroupSessionResponse(room, set())

        ann.client._send = without_keys
        await ann.says(room, "late")
        [notice] = await ann.messages(1)
        assert "I could not read a message" in notice["content"]["body"]
        assert kept
        for response_class, args, more in kept:
            await ann.loop.run(send, response_class, *args, **more)
        assert await inbox.texts(1) == ["late"]


async def test_files_of_encrypted_rooms_are_encrypted(server: Synapse, tmp_path: Path) -> None:
    bot, inbox, person = server.person("bot"), Inbox(), server.person("ann")
    data = bytes(range(256)) * 2000
    async with (
        open_friend(person, tmp_path / "ann") as ann,
        running(channel(server.base, bot.user_id, tmp_path), inbox) as sender,
    ):
        room = await ann.opens(bot.user_id)
        await ann.sends(room, encrypted_upload(person, "data.bin", data))
        [event] = await inbox.first(1)
        assert isinstance(event, InboundEvent)
        assert inbox.files == {"data.bin": data}
        out = Outgoing(
            "out-1", event.address, TextContent(""), files=(file_to_send(tmp_path, "out.bin", data),)
        )
        await sender.deliver(out)
        [seen] = await ann.messages(1)
    stored = person.downloads(seen["content"]["file"]["url"])
    assert stored != data
    assert opened(seen["content"]["file"], stored) == data


async def test_without_encryption_an_encrypted_room_is_told_so(
    server: Synapse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sdk, "CAN_ENCRYPT", False)
    bot = server.person("bot")
    async with (
        open_friend(server.person("ann"), tmp_path / "ann") as ann,
        running(channel(server.base, bot.user_id, tmp_path)) as sender,
    ):
        room = await ann.opens(bot.user_id)
        await ann.says(room, "hello")
        await ann.says(room, "are you there?")
        [notice] = await ann.messages(1)
        assert "encryption is not installed" in notice["content"]["body"]
        with pytest.raises(DeliveryRejected, match="encryption is not installed"):
            await sender.deliver(text(Address("matrix", room), "not in plain"))
    assert [each["content"]["body"] for each in ann.seen if each["type"] == "m.room.message"] == [
        notice["content"]["body"]
    ]


async def test_nobody_else_can_read_the_keys(server: Synapse, tmp_path: Path) -> None:
    bot = server.person("bot")
    async with running(channel(server.base, bot.user_id, tmp_path)):
        pass
    folder = tmp_path / "matrix"
    assert [oct(place.stat().st_mode & 0o777) for place in (folder, folder / "keys")] == ["0o700", "0o700"]
    assert oct((folder / "session.json").stat().st_mode & 0o777) == "0o600"


async def test_a_direct_chat_that_the_assistant_opens_is_encrypted_and_opened_once(
    server: Synapse, tmp_path: Path
) -> None:
    bot, ann = server.person("bot"), server.person("ann")
    async with running(channel(server.base, bot.user_id, tmp_path)) as sender:
        first = await sender.open_dm(f"matrix:{ann.user_id}")
        await sender.server.known(first.platform_id)
        again = await sender.open_dm(f"matrix:{ann.user_id}")
        ann.joins(first.platform_id)
        assert first == again
        assert sender.server.encrypted(first.platform_id)
        with pytest.raises(DeliveryRejected):
            await sender.open_dm("tg:1")
