"""Approvals from a request of an agent to the outcome, with the real host."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from attrs import define, field

from nanoclaw.host import Host, Seams, open_host
from nanoclaw.records import EditContent, Outgoing, PendingApproval, QuestionContent, SessionPaths
from nanoclaw.testing import FakeChannel, wire
from tests.approvals.kinds import BuildKind, PaintKind
from tests.host.homes import GUARD_S, WatchedExecutor, config, rows
from tests.host.runtimes import FakeRuntime
from tests.host.stage import row
from tests.host.test_deliveries import container_runs


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
        content = json.dumps({"action": action, "wall": "north", **values})
        container_runs(self.paths, row(id=id_, seq=seq, kind="system", content=content))

    async def card(self, n: int = 1) -> Outgoing:
        return (await self.channel.wait_for(n))[n - 1]

    def outcomes(self) -> list[dict[str, Any]]:
        sql = "SELECT content FROM messages_in WHERE id LIKE 'outcome-%' ORDER BY seq"
        return [json.loads(content) for (content,) in rows(self.paths.inbound_db, sql)]

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
