"""Strangers in a chat with the policy `request_approval`: held, let in, rejected, blocked."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trio

from actors import ActorError
from nanoclaw.records import Deleted
from nanoclaw.registry import AddMember, GrantRole, LinkUsers
from nanoclaw.routing import strangers
from nanoclaw.simulation.checks.approvals import needless_requests_are_withdrawn
from nanoclaw.simulation.snapshot import Snapshot
from nanoclaw.store import StoreError
from nanoclaw.testing import FakeChannel, World
from nanoclaw.testing.world.chats import Chat, User
from nanoclaw.testing.world.errors import HostKilled, WorldError
from nanoclaw.testing.world.executor import When
from tests.people.deciding import decide, open_requests


async def a_group(world: World, **wiring: Any) -> tuple[Chat, User]:
    """Return a group that asks about strangers, and a stranger in it. Its owner is Olga."""
    olga, eve = world.user("olga"), world.user("eve")
    chat = world.group("club", [olga, eve])
    await world.wire(chat, policy="request_approval", **wiring)
    await world.grant(olga, "owner")
    return chat, eve


def answers(chat: Chat) -> Sequence[str]:
    return [entry.text for entry in chat.transcript if entry.from_agent]


async def reasons(world: World) -> list[tuple[str | None, str, int]]:
    return [(each.user_id, each.reason, each.message_count) for each in await world.host.admin.dropped.list()]


async def test_what_a_stranger_writes_waits_until_somebody_decides(world: World) -> None:
    chat, eve = await a_group(world)
    for text in ("one", "two"):
        routed = await eve.says(text, in_=chat)
        assert (routed.session_ids, routed.dropped, bool(routed.held)) == ((), None, True)
    await chat.expect_nothing(within=60)
    [waiting] = await world.host.admin.strangers.list()
    assert (waiting.user_id, waiting.messages) == ("fake:eve", 2)
    assert await reasons(world) == []


async def test_a_later_card_is_pressed_and_not_the_one_that_was_decided(world: World) -> None:
    _, eve = await a_group(world)
    olga = world.user("olga")
    desk = await world.direct(olga)
    club = world.group("club", [olga, eve])
    await olga.says("hello")
    await eve.says("one", in_=club)
    assert (await olga.clicks("Block", in_=desk)).dropped is None
    await world.host.admin.strangers.lift("fake:club", "fake:eve")
    await eve.says("two", in_=club)
    assert (await olga.clicks("Approve", in_=desk)).dropped is None
    await club.expect("echo: two")


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("member", "they were let in by olga on "),
        ("admin", "they were let in by olga on "),
        ("link", "they were let in by olga on "),
        ("public", "the chat lets everybody in on "),
    ],
)
async def test_the_request_about_somebody_who_is_let_in_otherwise_is_withdrawn(
    world: World, how: str, words: str
) -> None:
    club, eve = await a_group(world)
    olga = world.user("olga")
    desk = await world.direct(olga)
    await olga.says("hello")
    for text in ("one", "two"):
        await eve.says(text, in_=club)
    await desk.card_with("Block")
    agent = await world.host.admin.agent_groups.by_folder("main")
    assert agent is not None
    match how:
        case "member":
            await world.host.registry.ask(AddMember("fake:eve", agent.id, "fake:olga"))
        case "admin":
            await world.host.registry.ask(GrantRole("fake:eve", "admin", agent.id, "fake:olga"))
        case "link":
            await world.host.registry.ask(LinkUsers("fake:olga", "fake:eve", "fake:olga"))
        case _:
            await world.wire(club, policy="public")
    await club.expect("echo: one")
    await club.expect("echo: two")
    await desk.expect(lambda entry: f"Needs no decision any more: {words}" in entry.text, kind="edit")
    assert await open_requests(world) == []
    assert (await olga.clicks("Block", in_=desk)).dropped is not None
    assert await world.host.admin.strangers.refused() == []
    await club.expect_nothing(within=60)


async def test_a_block_just_after_somebody_was_let_in_says_that_they_are_heard(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The decision comes before the request is withdrawn. The workloads' check sees that it is open."""
    monkeypatch.setattr(strangers, "needless", lambda _connection: [])
    club, eve = await a_group(world)
    await eve.says("one", in_=club)
    [request] = await open_requests(world)
    found = Snapshot(world.home / "data")
    assert list(needless_requests_are_withdrawn(found)) == []
    await world.admit(eve)
    await club.expect("echo: one")
    assert len(list(needless_requests_are_withdrawn(found))) == 1
    await decide(world, "block")
    decided = await world.host.admin.approvals.show(request.approval_id)
    assert "members remove fake:eve main" in str((decided.outcome or {}).get("error"))
    assert await world.host.admin.strangers.refused() == []


async def test_one_request_is_open_however_often_a_stranger_writes(world: World) -> None:
    chat, eve = await a_group(world)
    for n in range(5):
        await eve.says(str(n), in_=chat)
    [request] = await open_requests(world)
    assert (request.action, request.title) == ("admit_sender", "eve (fake:eve) wants to talk to main")


async def test_after_approval_the_messages_come_once_in_their_order(world: World) -> None:
    chat, eve = await a_group(world)
    for text in ("one", "two", "three"):
        await eve.says(text, in_=chat)
    await decide(world, "approve", "fake:olga")
    assert (await eve.says("four", in_=chat)).session_ids
    await world.sleep(60)
    heard = [text for answer in answers(chat) for text in ("one", "two", "three", "four") if text in answer]
    assert heard == ["one", "two", "three", "four"]
    assert await world.host.admin.strangers.list() == []
    [member] = await world.host.admin.members.list()
    assert (member.user_id, member.added_by) == ("fake:eve", "fake:olga")


async def test_after_approval_nobody_has_to_write_for_the_messages_to_come(world: World) -> None:
    chat, eve = await a_group(world)
    await eve.says("hello", in_=chat)
    await decide(world, "approve")
    await chat.expect("echo: hello")


async def test_after_rejection_nothing_is_said_and_nobody_is_asked_for_a_day(world: World) -> None:
    chat, eve = await a_group(world)
    for text in ("one", "two"):
        await eve.says(text, in_=chat)
    await decide(world, "reject")
    assert (await eve.says("three", in_=chat)).dropped == "the sender is not known here"
    await world.sleep(hours=23)
    await eve.says("four", in_=chat)
    assert await open_requests(world) == []
    assert await reasons(world) == [("fake:eve", "rejected", 4)]
    await world.sleep(hours=2)
    await eve.says("five", in_=chat)
    assert len(await open_requests(world)) == 1
    assert answers(chat) == []


async def test_a_block_is_remembered_until_it_is_lifted(world: World) -> None:
    chat, eve = await a_group(world)
    await eve.says("one", in_=chat)
    await decide(world, "block", "fake:olga")
    await world.sleep(days=30)
    await eve.says("two", in_=chat)
    assert await reasons(world) == [("fake:eve", "blocked", 2)]
    strangers = world.host.admin.strangers
    [refusal] = await strangers.refused()
    assert (refusal.status, refusal.decided_by, refusal.until) == ("blocked", "fake:olga", None)
    await strangers.lift("fake:club", "fake:eve")
    await eve.says("three", in_=chat)
    assert len(await open_requests(world)) == 1


async def test_a_block_holds_in_a_public_chat_but_not_against_a_right(world: World) -> None:
    chat, eve = await a_group(world)
    await eve.says("one", in_=chat)
    await decide(world, "block")
    await world.wire(chat, policy="public")
    assert not (await eve.says("two", in_=chat)).session_ids
    await world.admit(eve)
    assert (await eve.says("three", in_=chat)).session_ids


async def test_no_more_than_twenty_messages_are_held(world: World) -> None:
    chat, eve = await a_group(world)
    for n in range(20):
        assert (await eve.says(str(n), in_=chat)).held
    assert (await eve.says("21", in_=chat)).dropped == "the sender is not known here"
    assert await reasons(world) == [("fake:eve", "held_too_many", 1)]


async def test_large_messages_are_dropped_with_a_reason(world: World) -> None:
    chat, eve = await a_group(world)
    await eve.says("one", in_=chat, files={"big": b"x" * (13 << 20)})
    assert await reasons(world) == [("fake:eve", "held_too_large", 1)]
    assert await open_requests(world) == []


async def test_after_a_week_a_held_message_is_dropped_with_a_reason(world: World) -> None:
    chat, eve = await a_group(world)
    await eve.says("old", in_=chat)
    await world.sleep(days=6)
    await eve.says("new", in_=chat)
    await world.sleep(days=1, hours=1)
    assert await reasons(world) == [("fake:eve", "held_too_long", 1)]
    [waiting] = await world.host.admin.strangers.list()
    assert waiting.messages == 1


async def test_nobody_is_asked_about_messages_that_no_agent_listens_to(world: World) -> None:
    chat, eve = await a_group(world, trigger_rules={"mentionOnly": True})
    assert (await eve.says("to the others", in_=chat)).dropped == "no agent listens to this message"
    assert await open_requests(world) == []
    assert (await eve.says("to you", in_=chat, mention=True)).held
    assert len(await open_requests(world)) == 1


async def test_a_stranger_engages_no_thread(world: World) -> None:
    chat, eve = await a_group(world, trigger_rules={"mentionOnly": True, "sticky": True})
    assert (await eve.says("to you", in_=chat, mention=True)).held
    olga = world.user("olga")
    assert not (await olga.says("to the others", in_=chat)).session_ids


@pytest.mark.parametrize("how", ["member", "admit", "admin", "public", "link"])
async def test_held_messages_come_however_a_stranger_is_let_in(world: World, how: str) -> None:
    chat, eve = await a_group(world)
    await eve.says("hello", in_=chat)
    admin = world.host.admin
    match how:
        case "member":
            await world.admit(eve)
        case "admit":
            await admin.dropped.admit("fake:club", "fake:eve")
        case "admin":
            await world.grant(eve, "admin", "main")
        case "public":
            await world.wire(chat, policy="public")
        case _:
            await admin.users.link("fake:olga", "fake:eve")
    await chat.expect("echo: hello")


async def test_held_messages_are_dropped_if_the_chat_becomes_strict(world: World) -> None:
    chat, eve = await a_group(world)
    await eve.says("hello", in_=chat)
    await world.wire(chat, policy="strict")
    await world.sleep(5)
    assert await reasons(world) == [("fake:eve", "unknown_sender_strict", 1)]
    assert await world.host.admin.strangers.list() == []


async def test_an_admin_of_one_agent_lets_a_stranger_talk_to_that_agent_alone(world: World) -> None:
    chat, eve = await a_group(world)
    await world.wire(chat, "cook")
    ada = world.user("ada")
    await world.grant(ada, "admin", "main")
    await eve.says("hello", in_=chat)
    await decide(world, "approve", "fake:ada")
    await chat.expect("echo: hello")
    await chat.expect_nothing(within=60)
    [request] = await open_requests(world)
    assert request.title == "eve (fake:eve) wants to talk to cook"
    await decide(world, "approve", "fake:olga")
    await chat.expect("echo: hello")
    await chat.expect_nothing(within=60)


async def test_a_card_shows_what_a_stranger_wrote_on_one_line(world: World) -> None:
    chat, eve = await a_group(world)
    await eve.says("hi\nApprove: they get a cake\u202e", in_=chat)
    [request] = await open_requests(world)
    assert "\u202e" not in request.title


async def test_a_held_message_that_its_sender_deletes_is_dropped(world: World) -> None:
    chat, eve = await a_group(world)
    await eve.says("one", in_=chat)
    await eve.says("secret", in_=chat)
    secret = chat.transcript[-1]
    await world.channel.offer(Deleted(chat.address, secret.id or "", eve.id))
    await decide(world, "approve")
    await chat.expect("echo: one")
    await chat.expect_nothing(within=60)
    assert await reasons(world) == [("fake:eve", "held_deleted", 1)]


# -- the host dies ---------------------------------------------------------------

TEXTS = ("one", "two", "three")


async def _keep_alive(world: World) -> None:
    while True:
        if not world.host_lives:
            await world.start()
        await world.sleep(1)


async def _decide(world: World, choice: str) -> None:
    """Decide as a person does who presses the button again if the host dies."""
    while True:
        with suppress(ActorError, StoreError, HostKilled, WorldError):
            if not await open_requests(world):
                return
            await decide(world, choice)
        await world.sleep(5)


async def _let_in(world: World) -> None:
    """Make the stranger a member as a person does who tries again if the host dies."""
    while True:
        with suppress(ActorError, StoreError, HostKilled, WorldError):
            await world.host.admin.members.add("fake:eve", "main")
            return
        await world.sleep(5)


async def _play(world: World, choice: str, kill: tuple[When, int] | None) -> int:
    """Let a stranger write while somebody decides, and kill the host. Return the number of commits."""
    world.channel.opens_dms = True
    chat, eve = await a_group(world)
    desk = world.inbox(world.user("olga"))
    commits = Counter[When]()

    def at_commit(path: Path, when: When, n: int) -> None:
        del n
        if path.name == "outbound.db":
            return
        commits[when] += 1
        if kill == (when, commits[when]):
            world.kill_host_now()

    world.commit_hooks.append(at_commit)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_keep_alive, world)
        for text in TEXTS[:2]:
            await eve.says(text, in_=chat)
        await world.sleep(60)
        await (_let_in(world) if choice == "add a member" else _decide(world, choice))
        await eve.says(TEXTS[2], in_=chat)
        await world.sleep(300)
        nursery.cancel_scope.cancel()
    heard = [text for answer in answers(chat) for text in TEXTS if text in answer]
    assert heard == (list(TEXTS) if choice != "reject" else []), kill
    assert await world.host.admin.strangers.list() == []
    assert await open_requests(world) == [], kill
    cards = [entry for entry in desk.transcript if entry.kind == "card"]
    edits = [entry.text for entry in desk.transcript if entry.kind == "edit"]
    assert (len(cards), len(edits)) == (1, 1), kill
    if choice == "add a member":
        assert all("Needs no decision any more: they were let in" in text for text in edits), kill
    if choice == "reject":
        [(user, reason, count)] = await reasons(world)
        assert (user, reason) == ("fake:eve", "rejected")
        assert count in {2, 3}, "a crash may lose the count of the last second"
    return commits["after"]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("choice", ["approve", "reject", "add a member"])
async def test_a_kill_at_any_commit_neither_loses_nor_doubles_a_held_message(
    world: World, choice: str, when: When
) -> None:
    commits = await _play(world, choice, None)
    assert commits > 3
    for nth in range(1, commits + 1):
        async with World(channel=FakeChannel(repeat="idempotent")) as other:
            await _play(other, choice, (when, nth))
