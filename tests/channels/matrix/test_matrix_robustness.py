"""What goes wrong with networks, servers and processes."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import trio
import trio.testing
from aiohttp import ClientError

from nanoclaw import Address, InboundEvent
from nanoclaw.channels.matrix.channel import MatrixChannel
from nanoclaw.channels.matrix.sending import MatrixSender
from nanoclaw.channels.protocol import ChannelUnavailable
from nanoclaw.records import ChatRenamed, Deleted, EditContent, Joined, Left, Outgoing, Reacted
from nanoclaw.testing import MemoryState
from tests.channels.matrix.accounts import Inbox, channel, running, text
from tests.channels.matrix.proxy import open_proxy
from tests.channels.matrix.synapse import Person, Synapse


async def known_room(it: MatrixChannel, ann: Person, user: str) -> str:
    """Invite the account of a channel, and wait until it has joined."""
    room = ann.opens(user)
    async with running(it) as sender:
        assert await sender.server.known(room, 20)
    return room


@pytest.mark.slow
async def test_a_thousand_messages_after_a_pause_come_in_order(server: Synapse, tmp_path: Path) -> None:
    ann, bot, state = server.person("ann"), server.person("bot"), MemoryState()
    room = await known_room(channel(server.base, bot.user_id, tmp_path, state), ann, bot.user_id)
    for n in range(1000):
        ann.says(room, str(n))
    inbox = Inbox()
    async with running(channel(server.base, bot.user_id, tmp_path, state), inbox):
        assert await inbox.texts(1000) == [str(n) for n in range(1000)]
        ann.says(room, "and now")
        assert (await inbox.texts(1001))[-1] == "and now"


async def test_a_message_that_came_with_the_invitation_is_answered_and_older_ones_are_not(
    server: Synapse, tmp_path: Path
) -> None:
    ann, bot, inbox = server.person("ann"), server.person("bot"), Inbox()
    async with running(channel(server.base, bot.user_id, tmp_path), inbox):
        room = ann.opens()
        ann.says(room, "among us")
        ann.call("POST", f"/rooms/{quote(room)}/invite", {"user_id": bot.user_id})
        ann.says(room, "hello")
        assert await inbox.texts(1) == ["hello"]


async def test_a_short_outage_keeps_the_connection(server: Synapse, tmp_path: Path) -> None:
    ann, bot, inbox = server.person("ann"), server.person("bot"), Inbox()
    async with open_proxy(server.port) as proxy:
        it = channel(proxy.base, bot.user_id, tmp_path)
        room = ann.opens(bot.user_id)
        async with running(it, inbox) as sender:
            assert await sender.server.known(room, 20)
            with proxy.down():
                with pytest.raises((ChannelUnavailable, ClientError)):
                    await sender.deliver(text(Address("matrix", room), "lost?"))
                ann.says(room, "hello")
            assert await inbox.texts(1) == ["hello"]
            await sender.deliver(text(Address("matrix", room), "lost?"))
    assert ann.texts(room, bot.user_id) == ["lost?"]


async def test_a_long_outage_ends_the_connection_and_a_new_one_goes_on(
    server: Synapse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nanoclaw.channels.matrix.syncing.ATTEMPTS", 2)
    ann, bot, inbox, state = server.person("ann"), server.person("bot"), Inbox(), MemoryState()
    async with open_proxy(server.port) as proxy:
        it = channel(proxy.base, bot.user_id, tmp_path, state)
        room = await known_room(it, ann, bot.user_id)
        with pytest.raises(ChannelUnavailable, match="cannot be reached"):  # noqa: PT012 -- it is raised at the end
            async with running(it, inbox):
                with proxy.down():
                    await trio.sleep_forever()
        ann.says(room, "hello")
        async with running(it, inbox):
            assert await inbox.texts(1) == ["hello"]


async def test_a_hanging_connection_is_left_at_once(server: Synapse, tmp_path: Path) -> None:
    bot = server.person("bot")
    async with open_proxy(server.port) as proxy:
        it = channel(proxy.base, bot.user_id, tmp_path)
        async with running(it):
            await trio.testing.wait_all_tasks_blocked(0.3)  # it waits for news
            proxy.is_frozen = True
            started = trio.current_time()
        assert trio.current_time() - started < 2


async def test_a_session_that_was_ended_is_opened_again_with_the_password(
    server: Synapse, tmp_path: Path
) -> None:
    ann, bot, inbox, state = server.person("ann"), server.person("bot"), Inbox(), MemoryState()
    it = channel(server.base, bot.user_id, tmp_path, state)
    room = await known_room(it, ann, bot.user_id)
    with pytest.raises(ChannelUnavailable) as raised:  # noqa: PT012 -- it is raised at the end
        async with running(it, inbox):
            bot.call("POST", "/logout/all", {})
            await trio.sleep_forever()
    assert raised.value.condition == "unauthorized"
    ann.says(room, "hello")
    async with running(it, inbox):
        assert await inbox.texts(1) == ["hello"]


async def test_a_wrong_password_is_a_state_of_its_own(server: Synapse, tmp_path: Path) -> None:
    bot = server.person("bot")
    it = channel(server.base, bot.user_id, tmp_path)
    (tmp_path / "password").write_text("wrong")
    with pytest.raises(ChannelUnavailable) as raised:
        async with running(it):
            pass
    assert raised.value.condition == "unauthorized"
    assert "wrong" not in str(raised.value)


async def test_a_flood_waits_as_the_server_says(server: Synapse, tmp_path: Path) -> None:
    ann, bot, refusals = server.person("ann"), server.person("bot"), list[ChannelUnavailable]()
    server.limit(bot, per_second=5, burst=3)
    it = channel(server.base, bot.user_id, tmp_path)
    room = await known_room(it, ann, bot.user_id)
    async with running(it) as sender:
        for n in range(12):
            refusals += await _sent(sender, text(Address("matrix", room), str(n), f"out-{n}"))
    assert ann.texts(room, bot.user_id) == [str(n) for n in range(12)]
    assert {each.condition for each in refusals} == {"rate limited"}
    assert any(each.retry_after for each in refusals)  # a wait below a millisecond is none


async def _sent(sender: MatrixSender, message: Outgoing) -> list[ChannelUnavailable]:
    """Deliver as a host does, and return how often the server asked for patience."""
    refusals = list[ChannelUnavailable]()
    while True:
        try:
            await sender.deliver(message)
        except ChannelUnavailable as error:
            refusals.append(error)
            await trio.sleep(error.retry_after or 0.1)
        else:
            return refusals


async def test_a_hostile_device_stops_nothing(server: Synapse, tmp_path: Path) -> None:
    ann, bot, inbox, state = server.person("ann"), server.person("bot"), Inbox(), MemoryState()
    it = channel(server.base, bot.user_id, tmp_path, state)
    room = await known_room(it, ann, bot.user_id)
    async with running(it, inbox) as sender:
        client: Any = sender.server.client
        own = client.olm.account.identity_keys["curve25519"]
        for n, body in enumerate(("AAAA", "", "Mw", 5, None)):
            message = {"type": n % 2, "body": body}
            algorithm = {"algorithm": "m.olm.v1.curve25519-aes-sha2", "sender_key": own}
            content = {**algorithm, "ciphertext": {own: message}}
            messages = {bot.user_id: {client.device_id: content}}
            ann.call("PUT", f"/sendToDevice/m.room.encrypted/h{n}", {"messages": messages})
        keyless = {"ciphertext": "AAAA", "sender_key": own, "session_id": "s", "device_id": "d"}
        for content in ({"ciphertext": "x"}, {}, {**keyless, "algorithm": "m.megolm.v1.aes-sha2"}):
            ann.sends(room, content, "m.room.encrypted")
        ann.says(room, "hello")
        assert await inbox.texts(1) == ["hello"]


async def test_a_draft_that_a_crash_left_is_removed(server: Synapse, tmp_path: Path) -> None:
    ann, bot, state = server.person("ann"), server.person("bot"), MemoryState()
    room = await known_room(channel(server.base, bot.user_id, tmp_path, state), ann, bot.user_id)
    async with running(channel(server.base, bot.user_id, tmp_path, state)) as sender:
        await sender.draft(Address("matrix", room), "thinking")
    assert ann.texts(room, bot.user_id) == ["thinking"]
    async with running(channel(server.base, bot.user_id, tmp_path, state)):
        assert ann.texts(room, bot.user_id) == []


async def test_an_answer_that_replaced_a_draft_and_is_sent_again_stays_one_message(
    server: Synapse, tmp_path: Path
) -> None:
    ann, bot, state = server.person("ann"), server.person("bot"), MemoryState()
    room = await known_room(channel(server.base, bot.user_id, tmp_path, state), ann, bot.user_id)
    before: dict[str, str] = {}
    async with running(channel(server.base, bot.user_id, tmp_path, state)) as sender:
        await sender.draft(Address("matrix", room), "think")
        await sender.drafts.take(Address("matrix", room), "out-1")
        before = dict(state.values)  # as a crash right after the answer was sent leaves it
        first = await sender.deliver(text(Address("matrix", room), "thought"))
    state.values = before
    async with running(channel(server.base, bot.user_id, tmp_path, state)) as sender:
        assert await sender.deliver(text(Address("matrix", room), "thought")) == first
    assert ann.texts(room, bot.user_id) == ["thought"]


async def test_a_long_answer_is_edited_in_all_its_pieces(server: Synapse, tmp_path: Path) -> None:
    ann, bot, state = server.person("ann"), server.person("bot"), MemoryState()
    it = channel(server.base, bot.user_id, tmp_path, state)
    room = await known_room(it, ann, bot.user_id)
    long = "\n\n".join(f"paragraph {n} " + "words " * 60 for n in range(150))
    async with running(it) as sender:
        receipt = await sender.deliver(text(Address("matrix", room), long))
        assert len(ann.texts(room, bot.user_id)) > 1
        edit = EditContent(str(receipt.platform_message_id), "short")
        await sender.deliver(Outgoing("out-2", Address("matrix", room), edit))
    assert ann.texts(room, bot.user_id) == ["short"]


async def test_nobody_edits_the_words_of_another(server: Synapse, tmp_path: Path) -> None:
    ann, ben, bot, inbox = (*(server.person(name) for name in ("ann", "ben", "bot")), Inbox())
    it = channel(server.base, bot.user_id, tmp_path)
    room = ann.opens(bot.user_id, ben.user_id)
    ben.joins(room)
    async with running(it, inbox) as sender:
        assert await sender.server.known(room, 20)
        said = ann.says(room, "I owe Ben 1 coin")
        await inbox.first(1)
        ben.edits(room, said, "I owe Ben 100 coins")
        ann.edits(room, said, "I owe Ben 2 coins")
        ben.reacts(room, said, "👍")
        ann.deletes(room, said)
        events = await inbox.first(4)
    texts = [each.message.text for each in events if isinstance(each, InboundEvent)]
    assert texts == ["I owe Ben 1 coin", "I owe Ben 2 coins"]
    assert [type(each) for each in events[2:]] == [Reacted, Deleted]
    assert all(each.is_group for each in events if isinstance(each, InboundEvent))


async def test_names_and_people_of_rooms_are_followed(server: Synapse, tmp_path: Path) -> None:
    ann, ben, bot, inbox = (*(server.person(name) for name in ("ann", "ben", "bot")), Inbox())
    it = channel(server.base, bot.user_id, tmp_path)
    room = await known_room(it, ann, bot.user_id)
    state = f"/rooms/{quote(room)}"
    it = channel(server.base, bot.user_id, tmp_path, it._state)  # type: ignore[arg-type]  # the same one
    async with running(it, inbox):
        ann.call("PUT", f"{state}/state/m.room.name", {"name": "Chess"})
        ann.call("POST", f"{state}/invite", {"user_id": ben.user_id})
        ben.joins(room)
        ben.call("POST", f"{state}/leave", {})
        ann.says(room, "end")
        await inbox.first(1)
    named = [each.name for each in inbox.changes if isinstance(each, ChatRenamed)]
    came = [(type(each), each.user_id) for each in inbox.changes if isinstance(each, Joined | Left)]
    assert named == ["Chess"]
    assert came[-2:] == [(Joined, f"matrix:{ben.user_id}"), (Left, f"matrix:{ben.user_id}")]
