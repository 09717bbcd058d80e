"""Counts of dropped messages: written together, bounded, and shown at once to whoever lists them."""

from nanoclaw.records import Address
from nanoclaw.routing.drops import MOST, MOST_SENDERS, Drop, Drops
from nanoclaw.testing import World
from tests.people.deciding import open_requests

CLUB = Address("fake", "club")


async def drops_of(world: World) -> Drops:
    return Drops((await world.start())._ground.registry, world.clock)


async def test_counts_of_one_sender_and_reason_are_one_row(world: World) -> None:
    drops = await drops_of(world)
    for _ in range(3):
        drops.count(Drop(CLUB, "fake:eve", "Eve", "why"))
        await world.sleep(1)
    await drops.write()
    drops.count(Drop(CLUB, "fake:eve", "Eva", "why"))
    await drops.write()
    [row] = await world.host.admin.dropped.list()
    assert (row.sender_name, row.message_count) == ("Eva", 4)
    assert (row.last_seen - row.first_seen).total_seconds() == 3


async def test_any_number_of_senders_takes_bounded_memory(world: World) -> None:
    drops = await drops_of(world)
    for n in range(MOST_SENDERS + 500):
        drops.count(Drop(CLUB, f"fake:{n}", None, "why"))
    for n in range(MOST + 500):
        drops.count(Drop(Address("fake", f"chat-{n}"), "fake:eve", None, "why"))
    await drops.write()
    rows = await world.host.admin.dropped.list()
    assert len(rows) == MOST
    [rest] = [row for row in rows if row.user_id is None and row.platform_id == "club"]
    assert rest.message_count == 500


async def test_counts_that_wait_are_written_when_the_host_stops(world: World) -> None:
    chat = world.group("club", [eve := world.user("eve")])
    await world.wire(chat, policy="strict")
    for _ in range(5):
        await eve.says("hi", in_=chat)
    await world.restart()
    [row] = await world.host.admin.dropped.list()
    assert (row.reason, row.message_count) == ("unknown_sender_strict", 5)


async def test_held_messages_of_a_deleted_user_are_counted(world: World) -> None:
    olga, eve = world.user("olga"), world.user("eve")
    chat = world.group("club", [olga, eve])
    await world.wire(chat, policy="request_approval")
    await world.grant(olga, "owner")
    for _ in range(2):
        await eve.says("hi", in_=chat)
    await world.host.admin.users.delete(eve.id)
    [row] = await world.host.admin.dropped.list()
    assert (row.user_id, row.reason, row.message_count) == (eve.id, "held_sender_deleted", 2)


async def test_held_messages_of_a_deleted_chat_are_counted(world: World) -> None:
    olga, eve = world.user("olga"), world.user("eve")
    await world.direct(olga)
    await world.grant(olga, "owner")
    own = world.chat(eve)
    await eve.says("hi")
    admin = world.host.admin
    [found] = [
        each for each in await admin.messaging_groups.list() if each.platform_id == own.address.platform_id
    ]
    await admin.messaging_groups.delete(found.id)
    [row] = await admin.dropped.list()
    assert (row.user_id, row.reason, row.message_count) == (eve.id, "held_chat_deleted", 1)


async def test_refused_clicks_are_counted(world: World) -> None:
    olga, eve = world.user("olga"), world.user("eve")
    desk = await world.direct(olga)
    await world.grant(olga, "owner")
    await olga.says("hello")
    world.chat(eve)
    await eve.says("hi")
    card, _ = await desk.card_with("Reject")
    await olga.clicks("Reject", in_=desk, card=card)
    assert (await olga.clicks("main", in_=desk, card=card)).dropped
    [row] = [row for row in await world.host.admin.dropped.list() if row.user_id == "fake:olga"]
    assert row.reason == "click: approval is already rejected"


async def test_a_chat_is_decided_from_the_command_line_by_naming_the_choice(world: World) -> None:
    eve = world.user("eve")
    chat = world.chat(eve)
    await world.start()
    await eve.says("hi")
    [request] = await open_requests(world)
    await world.host.admin.approvals.approve(request.approval_id, choice="new")
    await chat.expect("echo: hi")


async def test_only_the_first_drop_of_a_kind_between_two_writes_is_worth_a_line_of_the_log(
    world: World,
) -> None:
    drops = await drops_of(world)
    drop = Drop(CLUB, "fake:eve", "Eve", "why")
    assert [drops.count(drop) for _ in range(3)] == [True, False, False]
    assert drops.count(Drop(CLUB, "fake:eve", "Eve", "another reason"))
    await drops.write()
    assert drops.count(drop)
