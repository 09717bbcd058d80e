"""Approvals over hours and days: people who come and go, expiry, restarts without a host, replays."""

import json
import re
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path
from random import Random

import apsw
import pytest

from agent_runner import tools
from agent_runner.providers import ToolSpec
from agent_runner.tools.base import BuiltinTool, schema
from nanoclaw.channels.terminal.terminal import Terminal
from nanoclaw.channels.terminal.visits import Shown
from nanoclaw.operations import Admin, Caller
from nanoclaw.operations.offline import open_files
from nanoclaw.recording import Record
from nanoclaw.registry import AskForSite, DecideApproval
from nanoclaw.store import NotAllowed
from nanoclaw.store.central import people
from nanoclaw.testing import World, simulate
from nanoclaw.testing.invariants import rows
from nanoclaw.testing.replay import replay
from nanoclaw.testing.world.executor import InlineExecutor
from tests.approvals.catalogues import a_catalogue
from tests.approvals.kinds import BuildKind, PaintKind
from tests.dispatch.test_host_actions import ask
from tests.host.homes import only_session

PAINT = '!paint {"wall": "north"}'
DECIDED = re.compile("Approved by|Rejected by|Expired on")


@pytest.fixture(autouse=True)
def tools_that_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("paint", "build"):
        spec = ToolSpec(name, "", schema({}, wall={"type": "string"}))
        monkeypatch.setitem(tools.TOOLS, name, BuiltinTool(spec, 60.0, partial(ask, name)))


@pytest.fixture
def site(world: World) -> World:
    """Open a world with the kinds `paint` and `build`."""
    world.approval_kinds = [PaintKind(), BuildKind()]
    return world


async def test_a_request_expires_on_time_and_may_be_made_again(site: World) -> None:
    ann = site.user("ann")
    site.settings = {"approvals.expire_s": 3600}
    chat = await site.direct(ann)
    await site.grant(ann, "owner")
    await ann.says(PAINT)
    await chat.expect("The wall north becomes white.", kind="card")
    await site.sleep(3500)
    [waiting] = await site.host.admin.approvals.list()
    assert waiting.status == "pending"
    asked_at = waiting.created_at
    await chat.expect(re.compile("Expired on .*: nobody decided in time"), kind="edit", within=200)
    [expired] = await site.host.admin.approvals.list()
    assert expired.decided_at is not None
    assert timedelta(0) <= expired.decided_at - asked_at - timedelta(hours=1) < timedelta(seconds=2)
    await ann.says(PAINT)
    await chat.expect("The wall north becomes white.", kind="card")


async def test_who_becomes_an_admin_while_a_request_waits_gets_its_card_and_who_leaves_cannot_decide(
    site: World,
) -> None:
    ann, ben = site.user("ann"), site.user("ben")
    chat = await site.direct(ann)
    hers, his = chat, await site.direct(ben, "other")
    await site.grant(ann, "owner")
    await ann.says(PAINT)
    await hers.expect("The wall north becomes white.", kind="card")
    await site.grant(ben, "owner")
    await his.expect("The wall north becomes white.", kind="card")
    await site.host.admin.roles.revoke(ann.id, "owner")
    assert str((await ann.clicks("Approve")).dropped).startswith("fake:ann may not decide")
    await ben.clicks("Reject")
    await hers.expect(re.compile("Rejected by ben on"), kind="edit")
    await his.expect(re.compile("Rejected by ben on"), kind="edit")


async def test_a_person_with_two_identities_gets_one_card_and_decides_with_either(site: World) -> None:
    ann, other = site.user("ann"), site.user("ann at work")
    chat, work = await site.direct(ann), await site.direct(other, "other")
    await site.grant(ann, "owner")
    await other.says("hello")
    await work.expect("echo: hello")
    await site.stop()
    with closing(apsw.Connection(str(site.home / "data" / "v2.db"))) as central:
        people.link(central, ann.id, other.id, None, site.now)
    await site.start()
    await ann.says(PAINT)
    await chat.expect("The wall north becomes white.", kind="card")
    await work.expect_nothing(within=100)
    await ann.clicks("Approve")
    await chat.expect(re.compile("Approved by ann on"), kind="edit")


async def test_a_decision_without_a_host_is_carried_out_by_the_next_one_once(site: World) -> None:
    ann = site.user("ann")
    await site.direct(ann)
    await ann.says('!build {"wall": "south"}')
    await ann.says(PAINT)
    await site.sleep(60)
    await site.stop()
    async with open_files(
        site.home / "data",
        site.home / "groups",
        approvals=a_catalogue(site.home, PaintKind(), BuildKind()),
        zone="UTC",
        executor=InlineExecutor(),
        clock=site.clock,
        random=Random(1),
    ) as ground:
        approvals = Admin.of(ground, Caller.local()).approvals
        for each in await approvals.list("pending"):
            decided = await approvals.approve(each.approval_id, note="go")
            assert (decided.status, decided.decided_by) == ("approved", None)
            assert decided.told_at is None
    build = BuildKind()
    site.approval_kinds = [PaintKind(), build]
    await site.start()
    await site.sleep(60)
    assert build.built == ["south"]
    assert rows(site.home / "data" / "v2.db", "SELECT value FROM meta WHERE key = 'painted north'") == [
        ("1",)
    ]
    done = await site.host.admin.approvals.list("approved")
    assert [each.told_at is not None for each in done] == [True, True]


async def test_a_program_that_does_not_know_the_kind_cannot_approve_but_can_reject(site: World) -> None:
    ann = site.user("ann")
    await site.direct(ann)
    await ann.says(PAINT)
    await site.sleep(60)
    await site.stop()
    async with open_files(
        site.home / "data",
        site.home / "groups",
        approvals=a_catalogue(site.home),
        zone="UTC",
        executor=InlineExecutor(),
        clock=site.clock,
        random=Random(1),
    ) as ground:
        approvals = Admin.of(ground).approvals
        [waiting] = await approvals.list()
        with pytest.raises(Exception, match="it has no such kind of approval"):
            await approvals.approve(waiting.approval_id)
        assert (await approvals.reject(waiting.approval_id)).status == "rejected"


async def test_a_card_at_the_terminal_waits_until_somebody_attends(site: World) -> None:
    terminal = Terminal(None, Random(1), clock=site.clock)
    site.channels = [terminal]
    ann = site.user("ann")
    await site.direct(ann)
    await site.host.admin.users.create("cli:local", display_name="Owner")
    await site.host.admin.roles.grant("cli:local", "owner")
    terminal.open()
    await ann.says(PAINT)
    await site.sleep(600)
    [approval] = await site.host.admin.approvals.list()
    [card] = await site.host.admin.approvals.cards(approval.approval_id)
    assert (card.user_id, card.channel_type, card.status, card.attempts) == ("cli:local", "cli", "pending", 0)
    with terminal.visit() as guest:
        guest.listen(confirms=True, drafts=False)
        shown = await guest.next()
        assert isinstance(shown, Shown)
        assert "3. Reject" in shown.text
        guest.confirm(shown.number)
        await site.sleep(1)
        code = shown.text.split()[-1]
        assert (await guest.say("line", f"1 {code}")).dropped is None
        await site.sleep(60)
    assert [each.status for each in await site.host.admin.approvals.list()] == ["approved"]


async def test_old_decisions_are_pruned(site: World) -> None:
    ann = site.user("ann")
    chat = await site.direct(ann)
    await site.grant(ann, "owner")
    await ann.says(PAINT)
    await ann.clicks("Approve")
    await chat.expect(DECIDED, kind="edit")
    await site.sleep(days=89)
    assert len(await site.host.admin.approvals.list()) == 1
    await site.sleep(days=3)
    assert await site.host.admin.approvals.list() == []
    assert rows(site.home / "data" / "v2.db", "SELECT count(*) FROM approval_cards") == [(0,)]


async def test_an_open_approval_that_is_deleted_is_withdrawn_and_its_agent_is_told(site: World) -> None:
    ann = site.user("ann")
    chat = await site.direct(ann)
    await site.grant(ann, "owner")
    await ann.says(PAINT)
    await chat.expect("The wall north becomes white.", kind="card")
    [approval] = await site.host.admin.approvals.list()
    await site.host.admin.approvals.delete(approval.approval_id)
    await chat.expect(re.compile("Needs no decision any more: the request was deleted"), kind="edit")
    await site.sleep(5)
    sql = "SELECT json_extract(content, '$.decision') FROM messages_in WHERE id LIKE 'outcome-%'"
    assert rows(only_session(site.home).inbound_db, sql) == [("withdrawn",)]
    assert (await ann.clicks("Approve")).dropped is not None


async def test_a_decided_approval_that_is_deleted_takes_its_cards_along(site: World) -> None:
    ann = site.user("ann")
    chat = await site.direct(ann)
    await site.grant(ann, "owner")
    await ann.says(PAINT)
    await ann.clicks("Approve")
    await chat.expect(DECIDED, kind="edit")
    [approval] = await site.host.admin.approvals.list()
    await site.host.admin.approvals.delete(approval.approval_id)
    assert await site.host.admin.approvals.list() == []
    assert rows(site.home / "data" / "v2.db", "SELECT count(*) FROM approval_cards") == [(0,)]


@pytest.mark.parametrize("redacted", [False, True])
def test_an_approval_is_replayed(tmp_path: Path, *, redacted: bool) -> None:
    async def day(world: World) -> None:
        await world.start(record=Record(tmp_path / "recording", redacted))
        ann = world.user("ann")
        chat = await world.direct(ann)
        await world.grant(ann, "owner")
        await ann.says('!create_agent {"name": "Bob", "instructions": "Be brief."}')
        await chat.expect(re.compile("Bob"), kind="card")
        await ann.clicks("Approve")
        await chat.expect(DECIDED, kind="edit")
        await world.sleep(minutes=1)
        await world.stop()

    simulate(day, seed=1)
    assert list(replay(tmp_path / "recording").differences) == []


def test_a_search_for_a_direct_chat_is_replayed(tmp_path: Path) -> None:
    async def day(world: World) -> None:
        world.channel.opens_dms = True
        await world.start(record=Record(tmp_path / "recording"))
        ann = world.user("ann")
        await world.direct(ann)
        await world.host.admin.users.create("fake:ben", display_name="ben")
        await world.host.admin.roles.grant("fake:ben", "owner")
        await ann.says('!create_agent {"name": "Bob"}')
        await world.sleep(minutes=1)
        assert world.channel.searched == ["fake:ben"]
        await world.stop()

    simulate(day, seed=1)
    assert list(replay(tmp_path / "recording").differences) == []


async def test_the_session_that_asked_for_a_site_is_told_and_a_decision_by_the_command_closes_the_card(
    site: World,
) -> None:
    ann = site.user("ann")
    chat = await site.direct(ann)
    await site.grant(ann, "owner")
    await ann.says("hello")
    [session] = await site.host.admin.sessions.list()
    agent = session.agent_group_id
    await site.host.registry.ask(AskForSite(agent, "example.org", session.id))
    await site.host.registry.ask(AskForSite(agent, "python.org", session.id))
    await chat.expect(re.compile("asks to reach example.org"), kind="card")
    await site.host.admin.network.allow("main", "example.org")
    await chat.expect(re.compile(r"example.org from its sandbox.*\n\nApproved on", re.DOTALL), kind="edit")
    await ann.clicks("Refuse")
    await chat.expect(re.compile("Refused by ann on"), kind="edit")
    await site.sleep(60)
    told = "SELECT content FROM messages_in WHERE id LIKE 'outcome-%' ORDER BY seq"
    found = [json.loads(content) for (content,) in rows(only_session(site.home).inbound_db, told)]
    assert [(each["action"], each["decision"], each["result"].get("site")) for each in found] == [
        ("network", "approved", "example.org"),
        ("network", "rejected", "python.org"),
    ]


async def test_nobody_decides_without_a_name_or_the_right_to_everything(site: World) -> None:
    ann = site.user("ann")
    await site.direct(ann)
    await ann.says(PAINT)
    await site.sleep(60)
    [waiting] = await site.host.admin.approvals.list()
    for by in (None, "fake:ann", "cli:local"):
        with pytest.raises(NotAllowed, match="may not decide"):
            await site.host.registry.ask(DecideApproval(waiting.approval_id, "approved", by))
    assert (await site.host.admin.approvals.reject(waiting.approval_id)).status == "rejected"
