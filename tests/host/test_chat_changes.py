"""Chats that are renamed, and users who join and leave: names follow, rights do not."""

import pytest

from nanoclaw.records import Address, BadEvent, ChatRenamed, Event, Joined, Left, received
from nanoclaw.testing import World
from nanoclaw.testing.world.chats import Chat

CLUB = Address("fake", "club")


async def a_club(world: World) -> Chat:
    """Return a chat in which Ann has written."""
    ann = world.user("ann")
    club = world.group("club", [ann])
    await world.wire(club)
    await ann.says("hello", in_=club)
    return club


async def names(world: World) -> tuple[str | None, str | None]:
    """Return the names of the chat and of Ann."""
    [chat] = [each for each in await world.host.admin.chats.list() if each.platform_id == "club"]
    [ann] = [each for each in await world.host.admin.users.list() if each.id == "fake:ann"]
    return chat.name, ann.display_name


async def test_the_name_of_a_chat_follows_its_network(world: World) -> None:
    await a_club(world)
    for _ in range(2):
        assert (await world.channel.offer(ChatRenamed(CLUB, "1", "Chess"))).dropped is None
    assert await names(world) == ("Chess", "ann")


@pytest.mark.parametrize("kind", [Joined, Left])
async def test_the_name_of_a_user_follows_their_network(world: World, kind: type[Joined | Left]) -> None:
    await a_club(world)
    await world.channel.offer(kind(CLUB, "1", "fake:ann", "Ann Miller"))
    await world.channel.offer(kind(CLUB, "2", "fake:ann"))
    assert await names(world) == ("club", "Ann Miller")


async def test_unknown_chats_and_users_make_no_rows(world: World) -> None:
    await a_club(world)
    before = await world.host.admin.chats.list(), await world.host.admin.users.list()
    elsewhere = Address("fake", "elsewhere")
    for event in (ChatRenamed(elsewhere, "1", "x"), Joined(elsewhere, "2", "fake:eve", "Eve")):
        await world.channel.offer(event)
    assert (await world.host.admin.chats.list(), await world.host.admin.users.list()) == before


async def test_leaving_takes_no_rights_and_joining_gives_none(world: World) -> None:
    ann, eve = world.user("ann"), world.user("eve")
    club = world.group("club", [ann, eve])
    await world.wire(club, policy="strict")
    await world.admit(ann)
    await world.channel.offer(Left(CLUB, "1", "fake:ann", "ann"))
    await world.channel.offer(Joined(CLUB, "2", "fake:eve", "eve"))
    await ann.says("one", in_=club)
    await club.expect("echo: one")
    assert (await eve.says("two", in_=club)).dropped


@pytest.mark.parametrize(
    "event",
    [
        ChatRenamed(CLUB, "1", ""),
        ChatRenamed(CLUB, "1", "x" * 1001),
        Joined(CLUB, "1", "ann", "Ann"),
        Joined(CLUB, "1", "cli:local", "the owner"),
        Left(CLUB, "", "fake:ann"),
    ],
)
def test_what_does_not_fit_is_refused(event: Event) -> None:
    with pytest.raises(BadEvent):
        received(event)
