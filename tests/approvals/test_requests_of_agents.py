"""What agents ask for, from the tool to the outcome, in virtual time."""

import json
import re
from contextlib import suppress
from typing import Literal

import trio

from nanoclaw.records import PendingApproval
from nanoclaw.store import NotAllowed
from nanoclaw.testing import World
from nanoclaw.testing.invariants import rows
from nanoclaw.testing.world.executor import When
from tests.dispatch.pairs import Pair, a_pair
from tests.kills import kill_at


async def _asked(world: World, pair: Pair, tool: str, **arguments: object) -> PendingApproval:
    """Have the agent main ask, and return the open request."""
    await world.host.admin.roles.grant("test:boss", "owner")
    await pair.ann.says(f"!{tool} {json.dumps(arguments)}")
    await world.sleep(5)
    [approval] = await world.host.admin.approvals.list(status="pending")
    return approval


async def _decide(world: World, approval: PendingApproval, status: Literal["approved", "rejected"]) -> None:
    await world.host.admin.approvals.decide(approval.approval_id, status, by="test:boss")


def _outcome(pair: Pair, approval: PendingApproval) -> dict[str, object]:
    sql = f"SELECT content FROM messages_in WHERE id = 'outcome-{approval.approval_id}'"  # noqa: S608 -- our own id
    [(content,)] = rows(pair.inbound(pair.main), sql)
    found: dict[str, object] = json.loads(content)
    return found


# -- another agent -------------------------------------------------------------------


async def test_an_agent_creates_another_one_and_writes_to_it_at_once(world: World) -> None:
    pair = await a_pair(world)
    approval = await _asked(world, pair, "create_agent", name="Cook", instructions="Cook.")
    await pair.chat.expect(re.compile("asked; a person decides"))
    await _decide(world, approval, "approved")
    await world.sleep(5)
    content = _outcome(pair, approval)
    result = content["result"]
    assert isinstance(result, dict)
    assert (content["decision"], content["status"], result["destination"]) == (
        "approved",
        "completed",
        "cook",
    )
    workspace = world.home / "groups/cook/workspace"
    assert (workspace / "CLAUDE.md").read_text() == "Cook.\n"
    await pair.ann.says('!send_message {"text": "soup?", "to": "cook"}')
    await world.sleep(5)
    cook = await world.host.admin.agent_groups.by_folder("cook")
    assert cook is not None
    assert pair.received(cook)[0].content["text"] == "soup?"
    assert ("main", "cook", "cook") in {
        (each.writer, each.reader, each.name) for each in await world.host.admin.agents.graph()
    }


async def test_a_crash_at_any_commit_creates_one_agent(world: World) -> None:
    """The host is killed at every commit from the decision to the outcome, in turn."""
    commits = await _created(world, None)
    assert commits > 3
    for when in ("before", "after"):
        for nth in range(1, commits + 1):
            async with World() as other:
                await _created(other, (when, nth))


async def _created(world: World, kill: tuple[When, int] | None) -> int:
    """Kill the host at a commit that carries out an approval. Return the number of these commits."""
    pair = await a_pair(world)
    approval = await _asked(world, pair, "create_agent", name="Cook", instructions="Cook.")
    begun = kill_at(world, kill)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_decided, world, approval)
        await world.sleep(20)
        commits = world.executor.commits - begun
        if not world.host_lives:
            await world.start()
            with suppress(NotAllowed):  # the decision was stored
                await _decide(world, approval, "approved")
        nursery.cancel_scope.cancel()
    await world.sleep(minutes=2)
    assert _outcome(pair, approval)["status"] == "completed", kill
    folders = [each.folder for each in await world.host.admin.agents.list()]
    assert sorted(folders) == ["cook", "helper", "main"], kill
    workspace = world.home / "groups/cook/workspace"
    assert [each.name for each in workspace.iterdir()] == ["CLAUDE.md"], kill
    return commits


async def _decided(world: World, approval: PendingApproval) -> None:
    with suppress(Exception):  # the host is killed meanwhile
        await _decide(world, approval, "approved")


async def test_a_rejected_agent_does_not_exist(world: World) -> None:
    pair = await a_pair(world)
    approval = await _asked(world, pair, "create_agent", name="Cook")
    await _decide(world, approval, "rejected")
    await world.sleep(5)
    assert _outcome(pair, approval)["decision"] == "rejected"
    assert len(await world.host.admin.agents.list()) == 2
    assert not (world.home / "groups/cook").exists()


async def test_a_taken_name_is_refused_at_once(world: World) -> None:
    pair = await a_pair(world)
    await pair.ann.says('!create_agent {"name": "helper"}')
    await pair.chat.expect(re.compile("choose another name"))
    assert await world.host.admin.approvals.list() == []


# -- a budget ------------------------------------------------------------------------


async def test_an_approved_budget_holds_at_once(world: World) -> None:
    pair = await a_pair(world)
    await world.host.admin.budgets.set("agent:main", turns="20")
    approval = await _asked(world, pair, "request_budget", measure="turns", amount=50)
    await _decide(world, approval, "approved")
    await world.sleep(5)
    [limit] = [
        each.limit
        for each in await world.host.admin.budgets.list()
        if (each.scope, each.measure) == (f"agent:{pair.main.id}", "turns")
    ]
    assert limit == 50
    assert _outcome(pair, approval)["result"] == {"measure": "turns", "scope": "agent", "amount": 50}


# -- what needs a sandbox ----------------------------------------------------------------


async def test_without_a_sandbox_packages_are_not_offered_and_refused(world: World) -> None:
    pair = await a_pair(world)
    await pair.ann.says('!install_packages {"pip": ["rich"]}')
    await pair.chat.expect(re.compile("no tool .install_packages"))
