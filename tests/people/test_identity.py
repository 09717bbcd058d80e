"""Who a sender is: names that follow the network, linked identities, senders without an id, direct chats."""

import json
from typing import Any

import apsw
import pytest

from nanoclaw.operations import Caller
from nanoclaw.records import ChatMessage, InboundEvent
from nanoclaw.store import Connection, NotAllowed, NotFound
from nanoclaw.store.central import user_dms
from nanoclaw.testing import World
from nanoclaw.testing.world.chats import Chat


def event(chat: Chat, id_: str, sender_id: str | None = "fake:ann", **values: Any) -> InboundEvent:
    fields = {"chat_name": chat.name, "is_group": chat.is_group, **values}
    return InboundEvent(chat.address, id_, ChatMessage(id_, f"text {id_}", "Ann", sender_id), **fields)


async def stored(world: World) -> list[dict[str, Any]]:
    """Return the contents of all messages in all sessions."""
    found = list[dict[str, Any]]()
    for file in sorted((world.home / "data" / "sessions").glob("*/*/inbound/inbound.db")):
        connection = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)
        rows = connection.execute(
            "SELECT content FROM messages_in WHERE kind = 'chat' ORDER BY seq"
        ).fetchall()
        connection.close()
        found += [json.loads(str(content)) for (content,) in rows]
    return found


# -- what the network reports ------------------------------------------------------


async def test_name_and_kind_of_a_chat_follow_the_network(world: World) -> None:
    chat = world.group("club", [world.user("ann")])
    await world.wire(chat)
    await world.channel.offer(event(chat, "1"))
    await world.channel.offer(event(chat, "2", chat_name="Club of May", is_group=False))
    found = await world.host.admin.messaging_groups.by_address("fake", "club")
    assert found is not None
    assert (found.name, found.is_group) == ("Club of May", False)
    await world.channel.offer(event(chat, "3", chat_name=None))
    found = await world.host.admin.messaging_groups.by_address("fake", "club")
    assert found is not None
    assert (found.name, found.is_group) == ("Club of May", True)


async def test_an_empty_name_says_nothing(world: World) -> None:
    chat = world.group("club", [world.user("ann")])
    await world.wire(chat)
    await world.channel.offer(event(chat, "1"))
    nameless = ChatMessage("2", "hello", "", "fake:ann")
    await world.channel.offer(InboundEvent(chat.address, "2", nameless, chat_name="", is_group=True))
    [found] = await world.host.admin.chats.list()
    [user] = await world.host.admin.users.list()
    assert (found.name, user.display_name) == ("club", "Ann")


async def test_agents_are_shown_the_new_name_of_a_chat(world: World) -> None:
    chat = world.group("club", [world.user("ann")])
    await world.wire(chat)
    [session] = (await world.channel.offer(event(chat, "1"))).session_ids
    await world.sleep(60)
    await world.channel.offer(event(chat, "2", chat_name="Club of May"))
    await world.sleep(60)
    [file] = (world.home / "data" / "sessions").glob(f"*/{session}/inbound/inbound.db")
    connection = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)
    names = connection.execute("SELECT display_name FROM destinations").fetchall()
    connection.close()
    assert names == [("Club of May",)]


async def test_a_message_that_brings_no_news_changes_nothing_in_the_central_database(world: World) -> None:
    chat = world.group("club", [world.user("ann")])
    await world.wire(chat)
    await world.channel.offer(event(chat, "1"))
    await world.sleep(60)
    before = world.host._ground.registry, await _changes(world)
    await world.channel.offer(event(chat, "2"))
    assert await _changes(world) == before[1]


async def _changes(world: World) -> object:
    def read(connection: Connection) -> object:
        tables = ("users", "messaging_groups", "user_dms")
        return [connection.execute(f"SELECT * FROM {table}").fetchall() for table in tables]  # noqa: S608 -- constants

    return await world.host.central.run(read)


async def test_the_direct_chat_of_a_user_is_noted_at_first_sight(world: World) -> None:
    ann, ben = world.user("ann"), world.user("ben")
    chat = await world.direct(ann)
    await ann.says("hello")
    dm = await world.host.central.run(user_dms.get, "fake:ann", "fake")
    found = await world.host.admin.messaging_groups.by_address("fake", "ann")
    assert dm is not None
    assert found is not None
    assert dm.messaging_group_id == found.id
    await ben.says("me too", in_=chat)
    assert await world.host.central.run(user_dms.get, "fake:ben", "fake") is None


async def test_a_group_is_no_direct_chat(world: World) -> None:
    ann = world.user("ann")
    club = world.group("club", [ann])
    await world.wire(club)
    await ann.says("hello", in_=club)
    assert await world.host.central.run(user_dms.for_user, "fake:ann") == []


# -- senders whom the network does not identify ------------------------------------


async def test_a_public_chat_lets_in_who_cannot_be_identified(world: World) -> None:
    chat = world.group("club", [])
    await world.wire(chat, policy="public")
    assert (await world.channel.offer(event(chat, "1", None))).session_ids
    assert await world.host.admin.users.list() == []
    [content] = await stored(world)
    assert "senderId" not in content


@pytest.mark.parametrize("policy", ["strict", "request_approval"])
async def test_other_chats_drop_and_record_who_cannot_be_identified(world: World, policy: Any) -> None:
    chat = world.group("club", [])
    await world.wire(chat, policy=policy)
    for id_ in "12":
        assert not (await world.channel.offer(event(chat, id_, None))).session_ids
    [dropped] = await world.host.admin.dropped.list()
    assert (dropped.user_id, dropped.sender_name, dropped.reason) == (None, "Ann", "unidentified_sender")
    assert dropped.message_count == 2
    assert await world.host.admin.users.list() == []
    assert await world.host.admin.approvals.list("pending") == []


# -- one person, several identities ----------------------------------------------------


async def test_a_linked_identity_is_let_in_by_the_persons_membership(world: World) -> None:
    ann, nina = world.user("ann"), world.user("nina")
    club = world.group("club", [ann, nina])
    await world.wire(club, policy="strict")
    await world.admit(ann)
    assert not (await nina.says("hello", in_=club)).session_ids
    await world.host.admin.users.link("fake:ann", "fake:nina")
    assert (await nina.says("hello", in_=club)).session_ids
    await world.host.admin.users.unlink("fake:nina")
    assert not (await nina.says("hello", in_=club)).session_ids


async def test_rules_about_senders_follow_the_person(world: World) -> None:
    ann, nina = world.user("ann"), world.user("nina")
    club = world.group("club", [ann, nina])
    await world.wire(club, trigger_rules={"includeSenders": ["fake:ann"]})
    await ann.says("hello", in_=club)
    assert not (await nina.says("hello", in_=club)).session_ids
    await world.host.admin.users.link("fake:ann", "fake:nina")
    assert (await nina.says("hello", in_=club)).session_ids


async def test_the_agent_sees_that_two_identities_are_one_person(world: World) -> None:
    ann, nina = world.user("ann"), world.user("nina")
    club = world.group("club", [ann, nina])
    await world.wire(club)
    await ann.says("one", in_=club)
    await nina.says("two", in_=club)
    await world.host.admin.users.link("fake:ann", "fake:nina")
    await nina.says("three", in_=club)
    await ann.says("four", in_=club)
    assert [content.get("person") for content in await stored(world)] == [None, None, "ann", "ann"]


async def test_a_channel_cannot_say_who_a_person_is(world: World) -> None:
    chat = world.group("club", [])
    await world.wire(chat)
    forged = ChatMessage("1", "x", "Eve", "fake:eve", person="Olga")
    await world.channel.offer(InboundEvent(chat.address, "1", forged, is_group=True))
    assert [content.get("person") for content in await stored(world)] == [None]


async def test_linking_tells_what_rights_the_person_has_now(world: World) -> None:
    await world.start()
    notes, users = list[str](), world.host.admin.users
    for id_ in ("tg:1", "discord:9"):
        await users.create(id_)
    await world.host.admin.roles.grant("tg:1", "owner")
    linked = await type(users)(users._ground, Caller.host(), notes.append).link("discord:9", "tg:1")
    assert (linked.rights, linked.linked, linked.person) == (["owner"], ("tg:1",), "discord:9")
    assert notes == ["the rights of discord:9 and tg:1 are now: owner"]
    assert (await users.show("tg:1")).linked == ("discord:9",)
    with pytest.raises(NotFound, match="is not linked"):
        await users.unlink("tg:none")


@pytest.mark.parametrize("how", ["revoke", "delete", "unlink and delete"])
async def test_the_last_owner_stays_whatever_is_linked(world: World, how: str) -> None:
    await world.start()
    admin = world.host.admin
    for id_ in ("tg:1", "discord:9"):
        await admin.users.create(id_)
    await admin.roles.grant("tg:1", "owner")
    await admin.users.link("discord:9", "tg:1")
    if how.startswith("unlink"):
        await admin.users.unlink("tg:1")
    with pytest.raises(NotAllowed, match="tg:1 is the only owner"):
        await (admin.roles.revoke("tg:1", "owner") if how == "revoke" else admin.users.delete("tg:1"))
    assert await admin.roles.is_owner("tg:1")
