"""Chats that no agent is wired to: the owner chooses an agent, a new one, or rejects the chat."""

from nanoclaw.testing import World
from nanoclaw.testing.world.chats import Chat, User
from tests.people.deciding import decide, open_requests


async def with_owner(world: World) -> tuple[User, Chat]:
    """Return the owner and their direct chat, in which they get cards."""
    olga = world.user("olga")
    chat = await world.direct(olga)
    await world.grant(olga, "owner")
    await olga.says("hello")
    await chat.expect("echo: hello")
    return olga, chat


async def policy(world: World, platform_id: str) -> str:
    chats = world.host.admin.messaging_groups
    found = await chats.by_address("fake", platform_id)
    assert found is not None
    return found.unknown_sender_policy


async def test_the_owner_chooses_an_agent_for_a_direct_chat_by_a_button(world: World) -> None:
    olga, desk = await with_owner(world)
    eve = world.user("eve")
    chat = world.chat(eve)
    for text in ("one", "two"):
        assert (await eve.says(text)).held
    assert len(await open_requests(world)) == 1
    await olga.clicks("main", in_=desk)
    await chat.expect("echo: one")
    await chat.expect("echo: two")
    assert await policy(world, "eve") == "request_approval"
    [member] = await world.host.admin.members.list()
    assert (member.user_id, member.added_by) == ("fake:eve", "fake:olga")


async def test_the_card_offers_each_agent_a_new_one_and_a_rejection(world: World) -> None:
    olga, desk = await with_owner(world)
    await world.wire(desk, "cook")
    await world.user("eve").says("hi", in_=world.chat(world.user("eve")))
    card, _ = await desk.card_with("New agent")
    assert card.card is not None
    assert [option.label for option in card.card.options] == ["main", "cook", "New agent", "Reject"]
    assert olga.id == "fake:olga"


async def test_a_new_agent_is_named_after_the_chat(world: World) -> None:
    olga, desk = await with_owner(world)
    eve = world.user("eve")
    club = world.group("Book Club!", [eve, olga])
    await eve.says("hi", in_=club, mention=True)
    await olga.clicks("New agent", in_=desk)
    await world.sleep(10)
    groups = await world.host.admin.agents.list()
    assert [(group.name, group.folder) for group in groups] == [("main", "main"), ("Book Club!", "book-club")]
    assert (await olga.says("hello", in_=club)).session_ids


async def test_members_of_a_group_are_strangers_until_they_are_let_in(world: World) -> None:
    olga, desk = await with_owner(world)
    eve = world.user("eve")
    club = world.group("club", [eve, olga])
    assert (await eve.says("hi", in_=club, mention=True)).held
    await olga.clicks("main", in_=desk)
    await club.expect_nothing(within=60)
    [request] = await open_requests(world)
    assert request.action == "admit_sender"
    await olga.clicks("Approve", in_=desk)
    await club.expect("echo: hi")
    assert (await olga.says("me too", in_=club)).session_ids


async def test_a_group_that_does_not_address_the_assistant_is_asked_about_by_nobody(world: World) -> None:
    await with_owner(world)
    eve = world.user("eve")
    club = world.group("club", [eve])
    assert (await eve.says("hi", in_=club)).dropped == "no agent is wired to this chat"
    assert await open_requests(world) == []
    [dropped] = await world.host.admin.dropped.list()
    assert dropped.reason == "no agent is wired to this chat"


async def test_a_rejected_chat_is_remembered_until_it_is_wired(world: World) -> None:
    olga, desk = await with_owner(world)
    eve = world.user("eve")
    chat = world.chat(eve)
    await eve.says("one")
    await olga.clicks("Reject", in_=desk)
    await world.sleep(days=40)
    assert (await eve.says("two")).dropped == "this chat was rejected"
    assert await open_requests(world) == []
    [refusal] = await world.host.admin.strangers.refused()
    assert (refusal.user_id, refusal.status, refusal.until) == (None, "rejected", None)
    await world.wire(chat, policy="public")
    assert await world.host.admin.strangers.refused() == []
    assert (await eve.says("three")).session_ids


async def test_a_lifted_rejection_of_a_chat_is_asked_about_again(world: World) -> None:
    await with_owner(world)
    eve = world.user("eve")
    world.chat(eve)
    await eve.says("one")
    await decide(world, "reject", "fake:olga")
    await world.host.admin.strangers.lift("fake:eve")
    assert (await eve.says("two")).held
    assert len(await open_requests(world)) == 1


async def test_a_chat_that_is_wired_otherwise_gets_what_was_held(world: World) -> None:
    await with_owner(world)
    eve = world.user("eve")
    chat = world.chat(eve)
    await eve.says("one")
    await world.wire(chat, policy="public")
    await chat.expect("echo: one")


async def test_an_expired_request_leaves_what_is_held_and_the_next_message_asks_again(world: World) -> None:
    olga, desk = await with_owner(world)
    eve = world.user("eve")
    chat = world.chat(eve)
    await eve.says("one")
    await world.sleep(days=2)
    assert await open_requests(world) == []
    await eve.says("two")
    await world.sleep(5)
    await olga.clicks("main", in_=desk)
    await chat.expect("echo: one")
    await chat.expect("echo: two")


async def test_at_most_twenty_unknown_chats_are_asked_about_at_once(world: World) -> None:
    await with_owner(world)
    strangers = [world.user(f"eve{n}") for n in range(21)]
    for stranger in strangers:
        world.chat(stranger)
    dropped_as = [(await stranger.says("hi")).dropped for stranger in strangers]
    assert dropped_as == [*[None] * 20, "no agent is wired to this chat"]
    [dropped] = await world.host.admin.dropped.list()
    assert (dropped.user_id, dropped.reason) == ("fake:eve20", "too_many_requests")
