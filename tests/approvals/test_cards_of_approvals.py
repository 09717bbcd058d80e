"""Approvals from a request of an agent to the outcome, with the real host."""

import json
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import define, evolve, field

from nanoclaw.approvals import desk
from nanoclaw.channels.protocol import Capabilities
from nanoclaw.host import Host, HostFailed, Seams, open_host
from nanoclaw.records import (
    EditContent,
    Outgoing,
    PendingApproval,
    QuestionContent,
    SessionPaths,
    TextContent,
)
from nanoclaw.registry import MOST_OPEN
from nanoclaw.store import NotAllowed
from nanoclaw.store.central import meta
from nanoclaw.testing import FakeChannel, wire
from tests.approvals.kinds import BuildKind, PaintKind
from tests.host.homes import GUARD_S, WatchedExecutor, config, rows
from tests.host.runtimes import FakeRuntime
from tests.host.stage import Statement, row
from tests.host.test_deliveries import container_runs


def request(id_: str, seq: int, action: str = "paint", **values: object) -> Statement:
    content = json.dumps({"action": action, "wall": "north", **values})
    return row(id=id_, seq=seq, kind="system", content=content, turn_id="turn")


@define(eq=False)
class Office:
    """A host with an agent in one chat, whose owner and admins have direct chats."""

    home: Path
    channel: FakeChannel = field(factory=FakeChannel)
    executor: WatchedExecutor = field(factory=WatchedExecutor)
    build: BuildKind = field(factory=BuildKind)
    settings: dict[str, Any] = field(factory=dict)
    host: Host = field(init=False)
    session: str = field(init=False)
    agent: str = field(init=False)

    @asynccontextmanager
    async def life(self) -> AsyncIterator[None]:
        runtime = FakeRuntime()
        seams = Seams(runtime=runtime, executor=self.executor)
        kinds = [PaintKind(), self.build]
        with trio.fail_after(GUARD_S):
            async with open_host(
                config(self.home, **self.settings), channels=[self.channel], seams=seams, approval_kinds=kinds
            ) as host:
                self.host = host
                wiring = await wire(host, self.channel.address("team"))
                self.agent = wiring.agent_group_id
                routed = await self.channel.say("x", chat="team", event_id="first")
                [self.session] = routed.session_ids
                await runtime.wait_started(1)
                yield

    @property
    def paths(self) -> SessionPaths:
        return SessionPaths.of(self.home / "data", self.agent, self.session)

    async def owner(self, name: str, role: str = "owner", *, chat: bool = True) -> None:
        """Give a user a right and, unless told otherwise, a direct chat."""
        user = f"fake:{name}"
        admin = self.host.admin
        await admin.users.create(user, display_name=name.title())
        if chat:
            await admin.messaging_groups.create(self.channel.address(name), name=name)
        if role == "owner":
            await admin.roles.grant(user, "owner")
        else:
            await admin.roles.grant(user, "admin", self.agent if role == "admin" else None)

    def ask(self, id_: str = "out-1", seq: int = 1, action: str = "paint", **values: object) -> None:
        """Write a request as the agent."""
        container_runs(self.paths, request(id_, seq, action, **values))

    async def card(self, n: int = 1) -> Outgoing:
        return (await self.channel.wait_for(n))[n - 1]

    def outcomes(self) -> list[dict[str, Any]]:
        sql = "SELECT content FROM messages_in WHERE id LIKE 'outcome-%' ORDER BY seq"
        return self.contents(sql)

    def contents(self, sql: str) -> list[dict[str, Any]]:
        """Read contents of the session's file; none while a commit of the host is under way."""
        return [json.loads(content) for (content,) in self.read(sql)]

    def read(self, sql: str) -> list[tuple[Any, ...]]:
        """Read rows of the session's file; none while a commit of the host is under way."""
        with suppress(sqlite3.OperationalError):
            return rows(self.paths.inbound_db, sql)
        return []

    async def answer(self, id_: str) -> dict[str, Any]:
        """Wait for the immediate answer to a request."""
        sql = f"SELECT content FROM messages_in WHERE id = 'answer-{id_}'"  # noqa: S608 -- a test's own id

        async def look() -> dict[str, Any] | None:
            return next(iter(self.contents(sql)), None)

        return await self.executor.until(look)

    async def outcome(self) -> dict[str, Any]:
        async def look() -> dict[str, Any] | None:
            return next(iter(self.outcomes()), None)

        return await self.executor.until(look)

    async def approval(self) -> PendingApproval:
        [approval] = await self.host.admin.approvals.list()
        return approval


async def test_an_owner_approves_on_a_card_and_the_agent_is_told(tmp_path: Path) -> None:
    office = Office(tmp_path)
    async with office.life():
        await office.owner("ann")
        office.ask()
        card = await office.card()
        assert card.address == office.channel.address("ann")
        assert isinstance(card.content, QuestionContent)
        assert (card.content.title, card.content.text) == ("Paint north", "The wall north becomes white.")
        assert [each.value for each in card.content.options] == ["approve", "always", "reject"]
        routed = await office.channel.click(card.content.question_id, "approve", chat="ann", user="ann")
        assert routed.dropped is None
        edited = (await office.card(2)).content
        assert isinstance(edited, EditContent), office.channel.sent
        assert edited.message_id == "fake-1"
        assert "Approved by Ann on " in edited.text
        outcome = await office.outcome()
        assert outcome == {
            "action": "paint",
            "status": "completed",
            "requestId": "out-1",
            "approval": card.content.question_id,
            "decision": "approved",
            "result": {"painted": "north"},
        }


async def clicks(
    office: Office, card: Outgoing, value: str, user: str, chat: str | None = None
) -> str | None:
    """Press a button of a card. Return why that was refused, if it was."""
    assert isinstance(card.content, QuestionContent)
    id_ = card.content.question_id
    routed = await office.channel.click(id_, value, chat=chat or card.address.platform_id, user=user)
    return routed.dropped


async def painted(office: Office, wall: str = "north") -> str | None:
    return await office.host.central.run(meta.get, f"painted {wall}")


async def test_a_rejection_is_told_and_changes_nothing(tmp_path: Path) -> None:
    office = Office(tmp_path)
    async with office.life():
        await office.owner("ann")
        office.ask()
        assert await clicks(office, await office.card(), "reject", "ann") is None
        outcome = await office.outcome()
        assert (outcome["status"], outcome["decision"]) == ("failed", "rejected")
        assert "Rejected by Ann" in text_of(await office.card(2))
        assert await painted(office) is None


async def test_agent_admins_are_asked_before_owners_and_the_first_of_several_decides(tmp_path: Path) -> None:
    office = Office(tmp_path)
    async with office.life():
        await office.owner("olga")
        await office.owner("ann", "admin")
        await office.owner("ben", "admin")
        office.ask()
        cards = await office.channel.wait_for(2)
        assert sorted(each.address.platform_id for each in cards) == ["ann", "ben"]
        mine, other = sorted(cards, key=lambda each: each.address.platform_id)
        assert await clicks(office, mine, "approve", "ann") is None
        late = await clicks(office, other, "reject", "ben")
        assert late is not None
        assert "already approved" in late
        edits = (await office.channel.wait_for(4))[2:]
        assert {each.address.platform_id for each in edits} == {"ann", "ben"}
        assert all("Approved by Ann" in text_of(each) for each in edits)
        assert await painted(office) == "1"


async def test_an_admin_who_cannot_be_reached_leaves_the_decision_to_the_next_circle(tmp_path: Path) -> None:
    office = Office(tmp_path)
    async with office.life():
        await office.owner("ann", "admin", chat=False)
        await office.owner("olga", "global admin")
        await office.owner("ben")
        office.ask()
        assert (await office.card()).address.platform_id == "olga"


async def test_a_request_that_reaches_nobody_waits_and_is_shown_when_somebody_can_be_reached(
    tmp_path: Path,
) -> None:
    office = Office(tmp_path)
    async with office.life():
        office.ask()
        office.ask("out-2", 3, action="dance")
        [line] = await office.executor.until(lambda: _remarks(office, some=True))
        assert line.startswith("an approval waits and nobody who may decide can be reached")
        await office.owner("ann")
        assert (await office.card()).address.platform_id == "ann"
        assert await office.executor.until(lambda: _remarks(office, some=False)) == ()


async def _remarks(office: Office, *, some: bool) -> Sequence[str] | None:
    """Return the remarks of the status once there are some, or none."""
    found = (await office.host.status()).approvals
    return found if bool(found) is some else None


REFUSED = {
    "another user of the chat": ("approve", "eve", "ann", "fake:eve may not decide"),
    "a choice that is not offered": ("block", "ann", "ann", "has no choice 'block'"),
    "another chat": ("approve", "ann", "team", "the card was sent to another chat"),
    "a choice with control characters": ("\x00\x1b[2J", "ann", "ann", "has no choice"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_click_that_is_not_allowed_decides_nothing_and_says_why(tmp_path: Path, case: str) -> None:
    value, user, chat, reason = REFUSED[case]
    office = Office(tmp_path)
    async with office.life():
        await office.owner("ann")
        office.ask()
        refused = await clicks(office, await office.card(), value, user, chat)
        assert refused is not None
        assert reason in refused
        assert (await office.approval()).status == "pending"


async def test_an_admin_who_lost_the_right_cannot_decide_any_more(tmp_path: Path) -> None:
    office = Office(tmp_path)
    async with office.life():
        await office.owner("olga", chat=False)
        await office.owner("ann", "admin")
        office.ask()
        card = await office.card()
        await office.host.admin.roles.revoke("fake:ann", "admin", office.agent)
        refused = await clicks(office, card, "approve", "ann")
        assert refused == f"fake:ann may not decide approval {(await office.approval()).approval_id}"
        assert await painted(office) is None


async def test_a_payload_that_was_changed_since_is_not_carried_out(tmp_path: Path) -> None:
    office = Office(tmp_path)
    async with office.life():
        await office.owner("ann")
        office.ask()
        await office.card()
    with closing(sqlite3.connect(tmp_path / "data" / "v2.db")) as central:
        central.execute("""UPDATE pending_approvals SET payload = '{"wall": "safe", "colour": "white"}'""")
        central.commit()
    async with office.life():
        refused = await clicks(office, await office.card(), "approve", "ann")
        assert refused is not None
        assert "was changed since it was requested" in refused
        assert await painted(office, "safe") is None


async def test_a_request_that_its_kind_refuses_asks_nobody(tmp_path: Path) -> None:
    office = Office(tmp_path)
    async with office.life():
        await office.owner("ann")
        office.ask(wall=5)
        answer = await office.answer("out-1")
        assert (answer["status"], answer["result"]) == ("failed", {"error": "wall must be a text"})
        assert await office.host.admin.approvals.list() == []


async def test_what_can_no_longer_be_done_is_told_to_who_asked_and_who_decided(tmp_path: Path) -> None:
    office = Office(tmp_path)
    async with office.life():
        await office.owner("ann")
        office.ask(wall="glass")
        assert await clicks(office, await office.card(), "approve", "ann") is None
        assert (await office.outcome())["result"] == {"error": "glass cannot be painted"}
        assert "It could not be done: glass cannot be painted" in text_of(await office.card(2))


async def test_effects_are_repeated_until_they_are_done_and_the_agent_is_told_only_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "AGAIN_S", (0.01,))
    office = Office(tmp_path, build=BuildKind(failures=2))
    async with office.life():
        await office.owner("ann")
        office.ask(action="build")
        await clicks(office, await office.card(), "approve", "ann")
        assert (await office.outcome())["result"] == {"state": "built"}
        assert office.build.built == ["north"] * 3


async def test_effects_that_are_refused_are_a_failure_that_the_card_shows(tmp_path: Path) -> None:
    office = Office(tmp_path)
    async with office.life():
        await office.owner("ann")
        office.ask(action="build", wall="air")
        await clicks(office, await office.card(), "approve", "ann")
        assert (await office.outcome())["status"] == "failed"
        sent = await office.channel.wait_for(2)
        while "It could not be done: there is no ground" not in text_of(sent[-1]):
            sent = await office.channel.wait_for(len(sent) + 1)


async def test_a_rule_allows_the_same_scope_at_once_until_it_is_forgotten(tmp_path: Path) -> None:
    office = Office(tmp_path)
    async with office.life():
        await office.owner("ann")
        office.ask()
        await clicks(office, await office.card(), "always", "ann")
        [rule] = await office.host.admin.approvals.rules()
        assert (rule.action, rule.scope, rule.created_by) == ("paint", "white", "fake:ann")
        office.ask("out-2", 3, wall="south")
        office.ask("out-3", 5, wall="east", colour="red")
        card = (await office.channel.wait_for(3))[2]
        assert "The wall east becomes red." in text_of(card)
        assert (await painted(office, "south"), await painted(office, "east")) == ("1", None)
        await office.host.admin.approvals.forget_rule(rule.rule_id)
        office.ask("out-4", 7, wall="west")
        assert "The wall west" in text_of((await office.channel.wait_for(4))[3])


async def test_equal_requests_are_one_approval_and_a_flood_is_refused(tmp_path: Path) -> None:
    office = Office(tmp_path)
    async with office.life():
        walls = [f"wall {max(n, 1)}" for n in range(MOST_OPEN + 2)]
        asked = [request(f"out-{n}", 2 * n + 1, wall=wall) for n, wall in enumerate(walls)]
        container_runs(office.paths, *asked)
        answer = await office.answer(f"out-{MOST_OPEN + 1}")
        assert "20 requests wait for a decision already" in answer["result"]["error"]
        assert len(await office.host.admin.approvals.list("pending")) == MOST_OPEN


async def test_an_expired_request_is_told_and_its_card_shows_it(tmp_path: Path) -> None:
    office = Office(tmp_path)
    async with office.life():
        await office.owner("ann")
        office.ask()
        card = await office.card()
        approval = await office.approval()
    with closing(sqlite3.connect(tmp_path / "data" / "v2.db")) as central:
        central.execute("UPDATE pending_approvals SET expires_at = '2026-01-01T00:00:00.000Z'")
        central.commit()
    async with office.life():
        outcome = await office.outcome()
        assert (outcome["approval"], outcome["decision"]) == (approval.approval_id, "expired")
        assert "nobody decided in time" in text_of(await office.card(2))
        refused = await clicks(office, card, "approve", "ann")
        assert refused is not None
        assert "already expired" in refused


async def test_a_channel_without_buttons_takes_the_number_with_the_code(tmp_path: Path) -> None:
    office = Office(tmp_path, channel=FakeChannel(buttons=False))
    async with office.life():
        await office.owner("ann")
        office.ask()
        card = await office.card()
        assert "3. Reject" in text_of(card)
        await office.channel.say(answer_on(card, 3), chat="ann", user="ann")
        assert (await office.outcome())["decision"] == "rejected"


FAULTS: dict[Any, int] = {"unavailable": 1, "crash before": 1, "crash after": 2}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_card_is_sent_again_as_its_channel_allows(tmp_path: Path, fault: Any) -> None:
    office = Office(tmp_path)
    async with office.life():
        await office.owner("ann")
        office.channel.fail(fault)
        office.ask()
        sent = await office.channel.wait_for(FAULTS[fault])
        assert len({each.message_out_id for each in sent}) == 1
        assert await clicks(office, sent[0], "approve", "ann") is None
        assert (await office.outcome())["decision"] == "approved"


async def test_a_person_whom_the_network_refuses_is_not_reached(tmp_path: Path) -> None:
    office = Office(tmp_path)
    async with office.life():
        await office.owner("ann", "admin")
        await office.owner("olga")
        office.channel.fail("rejected", chat="ann")
        office.ask()
        assert (await office.card()).address.platform_id == "olga"
        [card, _] = await office.host.admin.approvals.cards((await office.approval()).approval_id)
        assert (card.user_id, card.status) == ("fake:ann", "failed")


async def test_a_direct_chat_is_found_once_and_kept(tmp_path: Path) -> None:
    office = Office(tmp_path)
    office.channel.opens_dms = True
    async with office.life():
        await office.owner("ann", chat=False)
        office.ask()
        assert (await office.card()).address.platform_id == "dm-ann"
        office.ask("out-2", 3, wall="south")
        await office.card(2)
        assert office.channel.searched == ["fake:ann"]


class OfANetwork(FakeChannel):
    """A channel with a name of its own, whose users have the prefix of their network."""

    @property
    def capabilities(self) -> Capabilities:
        return evolve(super().capabilities, user_prefix="net")


@pytest.mark.parametrize("known", [False, True])
async def test_users_are_reached_by_the_prefix_of_their_network(tmp_path: Path, *, known: bool) -> None:
    office = Office(tmp_path, channel=OfANetwork())
    office.channel.opens_dms = True
    async with office.life():
        await office.host.admin.users.create("net:ann")
        if known:  # a chat with the name of its user needs no search
            await office.host.admin.messaging_groups.create(office.channel.address("ann"), name="ann")
        await office.host.admin.roles.grant("net:ann", "owner")
        office.ask()
        assert (await office.card()).address.platform_id == ("ann" if known else "dm-ann")
        assert office.channel.searched == ([] if known else ["net:ann"])


async def test_one_who_cannot_be_written_to_is_not_searched_for_again(tmp_path: Path) -> None:
    office = Office(tmp_path)
    office.channel.opens_dms = True
    office.channel.shy = {"fake:ann"}
    async with office.life():
        await office.owner("ann", "admin", chat=False)
        await office.owner("olga", chat=False)
        office.ask()
        assert (await office.card()).address.platform_id == "dm-olga"
        office.ask("out-2", 3, wall="south")
        await office.card(2)
        assert office.channel.searched == ["fake:ann", "fake:olga"]


async def test_a_program_asks_by_a_kind_and_only_owners_decide_without_an_agent(tmp_path: Path) -> None:
    office = Office(tmp_path)
    async with office.life():
        await office.owner("ann", "global admin")
        await office.owner("olga")
        approvals = office.host.admin.approvals
        asked = await approvals.request("paint", {"wall": "roof"})
        assert (await approvals.request("paint", {"wall": "roof"})).approval_id == asked.approval_id
        assert (await office.card()).address.platform_id == "olga"
        with pytest.raises(NotAllowed, match="may not decide"):
            await approvals.decide(asked.approval_id, "approved", by="fake:ann")
        done = await office.host.admin_as("fake:olga").approvals.approve(
            asked.approval_id, note="the old one"
        )
        assert (done.status, done.decided_by, done.note) == ("approved", "fake:olga", "the old one")
        assert "Note: the old one" in text_of(await office.card(2))
        with pytest.raises(NotAllowed, match="no kind of approval 'dance'"):
            await approvals.request("dance", {})


async def test_two_kinds_of_one_action_are_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(HostFailed, match="two kinds of approval have the action 'paint'"):
        async with open_host(config(tmp_path), approval_kinds=[PaintKind(), PaintKind()]):
            raise AssertionError("it must not start")


def answer_on(card: Outgoing, number: int) -> str:
    """Return the text that chooses an option of a card that was sent as text."""
    return f"{number} {text_of(card).split()[-1]}"


def text_of(outgoing: Outgoing) -> str:
    """Return the text of a card, an edit or a message."""
    content = outgoing.content
    assert isinstance(content, QuestionContent | EditContent | TextContent)
    return content.text
