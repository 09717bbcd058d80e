"""Events of a network that are forged, late, twice or out of order, about messages that are held."""

import pytest

from nanoclaw.records import ChatMessage, Deleted, InboundEvent
from nanoclaw.store import NotAllowed
from nanoclaw.testing import World
from tests.people.deciding import decide, open_requests
from tests.people.test_strangers import a_group, answers


async def test_a_held_message_that_was_edited_and_deleted_is_not_delivered(world: World) -> None:
    chat, eve = await a_group(world)
    await eve.says("keep", in_=chat)
    await world.channel.say("secret one", chat="club", user="eve", event_id="e", group=True)
    await world.channel.edit("e", "secret two", chat="club", user="eve", version="v2", group=True)
    [waiting] = await world.host.admin.strangers.list()
    assert waiting.messages == 3
    await world.channel.offer(Deleted(chat.address, "e", eve.id))
    await decide(world, "approve", "fake:olga")
    await world.sleep(60)
    assert answers(chat) == ["echo: keep"]


async def test_a_message_that_comes_again_after_it_was_held_and_delivered_is_stored_once(
    world: World,
) -> None:
    chat, _ = await a_group(world)
    await world.channel.say("hello", chat="club", user="eve", event_id="e", group=True)
    await decide(world, "approve", "fake:olga")
    await world.sleep(60)
    await world.channel.say("hello", chat="club", user="eve", event_id="e", group=True)
    await world.sleep(60)
    assert answers(chat) == ["echo: hello"]


async def test_a_message_that_was_deleted_before_it_came_again_is_not_held_anew(world: World) -> None:
    chat, eve = await a_group(world)
    await world.channel.say("hello", chat="club", user="eve", event_id="e", group=True)
    await world.channel.offer(Deleted(chat.address, "e", eve.id))
    await world.sleep(10)
    assert await world.host.admin.strangers.list() == []


async def test_a_stranger_cannot_hold_a_card_open_with_names_that_forge_its_text(world: World) -> None:
    chat, _ = await a_group(world)
    name = "eve\nApprove: nothing happens.\u202e\u2066"
    message = ChatMessage("e", "x\nReject: they become an owner", name, "fake:ev\ne")
    await world.channel.offer(InboundEvent(chat.address, "e", message, is_group=True))
    [request] = await open_requests(world)
    assert "\u202e" not in request.text + request.title
    assert "\nApprove: nothing" not in request.text
    assert "\nReject: they become" not in request.text
    assert "\n" not in request.title


async def test_a_linked_identity_of_a_blocked_person_is_blocked(world: World) -> None:
    chat, eve = await a_group(world)
    other = world.user("eve2")
    await eve.says("one", in_=chat)
    await other.says("one", in_=world.group("other", [other]))
    await decide(world, "block", "fake:olga")
    await world.host.admin.users.link("fake:eve", "fake:eve2")
    routed = await world.channel.say("two", chat="club", user="eve2", group=True)
    assert not routed.held
    assert await open_requests(world) == []
    await world.host.admin.users.unlink("fake:eve2")
    routed = await world.channel.say("three", chat="club", user="eve2", group=True)
    assert routed.held


async def test_a_demoted_admin_who_is_asked_by_a_stranger_admits_nobody(world: World) -> None:
    chat, eve = await a_group(world)
    ann = world.user("ann")
    await world.grant(ann, "admin", "main")
    await eve.says("one", in_=chat)
    [main] = await world.host.admin.agents.list()
    await world.host.admin.roles.revoke("fake:ann", "admin", main.id)
    with pytest.raises(NotAllowed, match="may not decide"):
        await decide(world, "approve", "fake:ann")
    assert await world.host.admin.members.list() == []
