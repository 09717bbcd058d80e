"""Whole stories of people: who is let in, who decides, and what becomes of what was asked for."""

import json
from collections.abc import Sequence

import pytest
import trio

from nanoclaw.records import Routed
from nanoclaw.testing import Chat, FakeChannel, User, World, calls, says, script
from nanoclaw.testing.invariants import rows


async def an_owner(world: World, name: str = "olga") -> User:
    """Return an owner whom the network can write to."""
    world.channel.opens_dms = True
    user = world.user(name)
    await world.grant(user, "owner")
    return user


def heard(chat: Chat) -> Sequence[str]:
    """Return what agents said in a chat."""
    return [entry.text for entry in chat.transcript if entry.from_agent and entry.kind == "message"]


def shown(user: User) -> Sequence[str]:
    """Return the titles of the cards that a user was shown."""
    return [entry.card.title for entry in user.cards if entry.card is not None]


# -- friends and strangers -----------------------------------------------------------


async def test_an_owner_lets_a_friend_into_a_chat_and_the_friend_leaves_again(world: World) -> None:
    olga = await an_owner(world)
    ben = world.user("ben")
    club = world.group("club", [olga, ben])
    await world.wire(club, policy="request_approval")
    for text in ("one", "two"):
        await ben.says(text, in_=club)
    await olga.decides("Approve")
    await club.expect("echo: one")
    await club.expect("echo: two")
    assert shown(olga) == ["ben (fake:ben) wants to talk to main"]
    await world.remove(ben)
    await ben.says("three", in_=club)
    await club.expect_nothing(within=60)
    await world.sleep(5)
    assert len(shown(olga)) == 2


async def test_a_stranger_in_a_group_is_blocked_and_asks_nobody_again(world: World) -> None:
    olga = await an_owner(world)
    eve = world.user("eve")
    club = world.group("club", [olga, eve])
    await world.wire(club, policy="request_approval")
    await eve.says("let me in", in_=club)
    await olga.decides("Block")
    for text in ("please", "pretty please"):
        assert not (await eve.called("Olga").says(text, in_=club)).held
    await world.sleep(days=8)
    await eve.says("still here", in_=club)
    await world.sleep(60)
    assert (heard(club), len(shown(olga))) == ([], 1)
    inbox = world.inbox(olga)
    [edit] = [entry.text for entry in inbox.transcript if entry.kind == "edit"]
    assert "Blocked by olga" in edit


async def test_an_unknown_chat_is_wired_by_a_card_and_renamed_later(world: World) -> None:
    olga = await an_owner(world)
    ben = world.user("ben")
    club = world.group("book club", [ben])
    await ben.says("hello?", in_=club, mention=True)
    await olga.decides("New agent")
    await olga.decides("Approve")
    await club.expect("echo: hello?")
    club.rename("chess club")
    await ben.says("again", in_=club)
    await club.expect("echo: again")
    [chat] = [one for one in await world.host.admin.messaging_groups.list() if one.is_group]
    [agent] = await world.host.admin.agent_groups.list()
    assert (chat.name, agent.name) == ("chess club", "book club")


@pytest.mark.world(channels=[FakeChannel("other")])
async def test_the_right_of_a_linked_person_counts_on_another_network(world: World) -> None:
    olga, [other] = await an_owner(world), world.channels
    assert isinstance(other, FakeChannel)
    alias, eve = world.user("olga", other), world.user("eve", other)
    club = world.group("club", [alias, eve], other)
    await world.wire(club, policy="request_approval")
    await alias.says("it is me", in_=club)
    await club.expect_nothing(within=60)
    await world.link(olga, alias)
    await club.expect("echo: it is me")
    await eve.says("and me", in_=club)
    await world.sleep(5)
    assert shown(olga)[-1] == "eve (other:eve) wants to talk to main"
    await olga.decides("Approve")
    await club.expect("echo: and me")


# -- what agents ask for -------------------------------------------------------------


async def a_request(world: World) -> tuple[Chat, str]:
    """Have an agent ask for another agent. Return its chat and its session."""
    ann = world.user("ann")
    brain = script([calls("create_agent", name="Cook", instructions="Cook."), says("asked")], says("{text}"))
    chat = await world.direct(ann, world.agent("main", brain))
    routed = await ann.says("we need a cook")
    await chat.expect("asked")
    return chat, routed.session_ids[0]


def outcomes(world: World, session: str) -> list[str]:
    """Return the decisions that a session was told."""
    [file] = (world.home / "data/sessions").glob(f"*/{session}/inbound/inbound.db")
    sql = "SELECT content FROM messages_in WHERE id LIKE 'outcome-%'"
    return [json.loads(content)["decision"] for (content,) in rows(file, sql)]


async def cooks(world: World) -> int:
    return sum(group.folder.startswith("cook") for group in await world.host.admin.agent_groups.list())


async def test_of_two_admins_who_press_at_once_one_decides(world: World) -> None:
    olga, paul = await an_owner(world), await an_owner(world, "paul")
    _, session = await a_request(world)
    pressed = dict[str, Routed]()

    async def press(user: User, label: str) -> None:
        pressed[label] = await user.decides(label)

    await world.inbox(paul).card_with("Reject")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(press, olga, "Approve")
        nursery.start_soon(press, paul, "Reject")
    await world.sleep(60)
    [winner] = [label for label, routed in pressed.items() if routed.dropped is None]
    [said] = [routed.dropped for routed in pressed.values() if routed.dropped is not None]
    assert "already" in said
    assert outcomes(world, session) == ["approved" if winner == "Approve" else "rejected"]
    assert await cooks(world) == (winner == "Approve")


@pytest.mark.parametrize("when", ["before the card", "before the decision", "after the decision"])
async def test_a_restart_in_the_middle_loses_nothing_and_does_nothing_twice(world: World, when: str) -> None:
    olga = await an_owner(world)
    _, session = await a_request(world)
    if when == "before the card":
        await world.kill_host()
        await world.start()
    card, _ = await world.inbox(olga).card_with("Approve")
    if when == "before the decision":
        await world.restart()
    await olga.decides("Approve", card=card)
    if when == "after the decision":
        await world.kill_host()
        await world.start()
    await world.sleep(minutes=10)
    assert outcomes(world, session) == ["approved"]
    assert await cooks(world) == 1
    assert (await olga.decides("Reject", card=card)).dropped is not None


async def test_an_admin_who_is_demoted_meanwhile_decides_nothing(world: World) -> None:
    olga = await an_owner(world)
    paul = world.user("paul")
    await a_request(world)
    await world.grant(paul, "admin", "main")
    await world.sleep(5)
    await world.inbox(paul).card_with("Approve")
    await world.revoke(paul, "admin", "main")
    refused = await paul.decides("Approve")
    assert refused.dropped is not None
    assert await cooks(world) == 0
    await olga.decides("Approve")
    await world.sleep(5)
    assert await cooks(world) == 1


async def test_nobody_decides_in_time_and_the_agent_is_told_once(world: World) -> None:
    olga = await an_owner(world)
    _, session = await a_request(world)
    card, _ = await world.inbox(olga).card_with("Approve")
    await world.sleep(hours=25)
    assert outcomes(world, session) == ["expired"]
    late = await olga.decides("Approve", card=card)
    assert late.dropped is not None
    assert (await cooks(world), outcomes(world, session)) == (0, ["expired"])
