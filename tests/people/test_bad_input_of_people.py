"""Hostile input about people: ids and texts with control characters, and clicks that decide nothing."""

import pytest

from nanoclaw.records import BadEvent, Clicked
from nanoclaw.testing import World
from nanoclaw.testing.world.chats import Chat, User
from tests.people.deciding import open_requests

NASTY = {
    "a null byte": "a\x00b",
    "an escape sequence": "\x1b[2J",
    "a line break": "one\ntwo",
    "a mark that turns the direction": "\u202egnp",
    "half a character": "\ud800",
    "nothing": "",
    "a megabyte": "x" * 1_000_000,
}


async def a_stranger(world: World) -> tuple[User, User, Chat]:
    """Return an owner with a card about a stranger, the stranger, and their chat."""
    world.channel.opens_dms = True
    olga, eve = world.user("olga"), world.user("eve")
    club = world.group("club", [olga, eve])
    await world.wire(club, policy="request_approval")
    await world.grant(olga, "owner")
    await eve.says("hello", in_=club)
    await world.inbox(olga).card_with("Approve")
    return olga, eve, club


@pytest.mark.parametrize("case", NASTY)
@pytest.mark.parametrize("what", ["question_id", "value", "user_id"])
async def test_a_click_with_a_nasty_value_decides_nothing(world: World, what: str, case: str) -> None:
    olga, _, club = await a_stranger(world)
    [approval] = await open_requests(world)
    values = {"question_id": approval.approval_id, "value": "approve", "user_id": olga.id, what: NASTY[case]}
    try:
        routed = await world.channel.offer(Clicked(world.inbox(olga).address, "click", **values))
    except BadEvent:
        pass
    else:
        assert routed.dropped is not None
    assert len(await open_requests(world)) == 1
    await olga.decides("Approve")
    await club.expect("echo: hello")


@pytest.mark.parametrize("case", [case for case in NASTY if case not in {"nothing", "a megabyte"}])
async def test_a_stranger_with_a_nasty_id_is_nobody_else(world: World, case: str) -> None:
    olga, _, club = await a_stranger(world)
    await olga.decides("Reject")
    twin = world.user(f"eve{NASTY[case]}")
    try:
        routed = await twin.called("olga").says("it is me", in_=club)
    except BadEvent:
        return
    assert not routed.session_ids
    for request in await open_requests(world):
        assert not any(ord(each) < 0x20 or each in "\u202e\ud800" for each in request.title)
    await club.expect_nothing(within=60)


@pytest.mark.parametrize("case", NASTY)
async def test_the_name_of_a_stranger_breaks_no_card(world: World, case: str) -> None:
    world.channel.opens_dms = True
    olga, eve = world.user("olga"), world.user("eve").called(NASTY[case])
    club = world.group("club", [olga, eve])
    await world.wire(club, policy="request_approval")
    await world.grant(olga, "owner")
    try:
        await eve.says(f"hello {NASTY[case][:50]}", in_=club)
    except BadEvent:
        return
    await olga.decides("Approve")
    await world.sleep(5)
    assert len(await world.host.admin.members.list()) == 1


async def test_a_text_in_place_of_a_choice_decides_nothing(world: World) -> None:
    olga, _, _ = await a_stranger(world)
    [card] = olga.cards
    assert (await olga.writes("approve", in_=world.inbox(olga), card=card)).dropped is not None
    assert len(await open_requests(world)) == 1


async def test_a_card_is_decided_once_and_others_are_told(world: World) -> None:
    olga, eve, club = await a_stranger(world)
    [card] = olga.cards
    assert (await eve.clicks("Approve", in_=world.inbox(olga), card=card)).dropped is not None
    assert (await olga.decides("Approve", card=card)).dropped is None
    for label in ("Approve", "Reject", "Block"):
        again = await olga.decides(label, card=card)
        assert "already" in str(again.dropped)
    await club.expect("echo: hello")
    assert await world.host.admin.strangers.refused() == []
