"""The host dies at each commit of a question about a site: it is neither lost nor doubled."""

import re
from contextlib import suppress
from pathlib import Path

import pytest

from actors import ActorError
from nanoclaw.registry import AskForSite
from nanoclaw.testing import FakeChannel, World
from nanoclaw.testing.world.errors import HostKilled
from nanoclaw.testing.world.executor import When

NOTICE = "The agent main asks to reach example.org"


async def _ask(world: World, agent: str) -> None:
    """Ask as the gateway does when an agent tries a site again and again, whatever happens to the host."""
    for _ in range(3):
        if not world.host_lives:
            await world.start()
        with suppress(ActorError, HostKilled):  # the agent is told so, and tries again
            await world.host._ground.registry.ask(AskForSite(agent, "example.org", "s1"))
        await world.sleep(90)


async def _play(world: World, kill: tuple[When, int] | None) -> int:
    """Kill the host at a commit. Return the number of commits."""
    ann = world.user("ann")
    chat = await world.direct(ann)
    await world.grant(ann, "owner")
    await ann.says("hello")
    await chat.expect("echo: hello")
    [agent] = await world.host.admin.agent_groups.list()
    begun = world.executor.commits

    def at_commit(path: Path, when: When, n: int) -> None:
        del path
        if kill == (when, n - begun):
            world.kill_host_now()

    world.commit_hooks.append(at_commit)
    await _ask(world, agent.id)
    if not world.host_lives:
        await world.start()
    await world.sleep(300)
    told = [entry.text for entry in chat.transcript if entry.from_agent and NOTICE in entry.text]
    open_questions = await world.host.admin.approvals.list("pending")
    assert (len(told), [each.request_id for each in open_questions]) == (1, ["example.org"]), kill
    return world.executor.commits - begun


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_kill_at_any_commit_neither_loses_nor_doubles_a_question(world: World, when: When) -> None:
    commits = await _play(world, None)
    assert commits > 3
    for nth in range(1, commits + 1):
        network = FakeChannel(repeat="idempotent")  # an attempt in doubt is made again
        async with World(channel=network) as other:
            await _play(other, (when, nth))


async def test_an_owner_who_comes_later_is_told_of_what_still_waits(world: World) -> None:
    ann = world.user("ann")
    chat = await world.direct(ann)
    await ann.says("hello")
    await chat.expect("echo: hello")
    [agent] = await world.host.admin.agent_groups.list()
    for site in ("example.org", "python.org"):
        await world.host._ground.registry.ask(AskForSite(agent.id, site, "s1"))
    await world.host.admin.network.refuse("main", "python.org")
    await world.sleep(hours=5)
    await world.grant(ann, "owner")
    await world.restart()
    await chat.expect(re.compile(re.escape(NOTICE)), kind="card")
    await world.sleep(300)
    assert not any("python.org" in entry.text for entry in chat.transcript if entry.from_agent)
