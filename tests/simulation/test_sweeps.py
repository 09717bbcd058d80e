"""Sweeps: a session checks its runner every half minute while it has work."""

from collections.abc import Callable
from itertools import pairwise

import pytest
import trio

from agent_runner.providers import Toolbox
from agent_runner.records import Turn
from nanoclaw.channels.chat_sender import Settled, Typing
from nanoclaw.channels.senders import Senders
from nanoclaw.records import Address
from nanoclaw.session.needs import SWEEP_S
from nanoclaw.session.runner import STUCK_S
from nanoclaw.session.runner_supervisor import RunnerSupervisor
from nanoclaw.store.engine.executor import Lane
from nanoclaw.testing import User, World
from nanoclaw.testing.invariants import rows
from nanoclaw.testing.world.kill_switch import KillableExecutor
from tests.host.homes import only_session

BY_EVENT = "SELECT id FROM messages_in WHERE json_extract(content, '$.id') = :event"
ANSWERS = "SELECT id FROM messages_out WHERE in_reply_to = :id"
OPEN = "SELECT 1 FROM deliveries WHERE message_out_id = :id AND status <> 'final'"


def slow_down_the_host(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Delay every later file access of the host."""
    run = KillableExecutor.run

    async def slowly(self: KillableExecutor, fn: Callable[[], object], lane: Lane = "read") -> object:
        await trio.sleep(seconds)
        return await run(self, fn, lane=lane)

    monkeypatch.setattr(KillableExecutor, "run", slowly)


async def chatter(user: User, *, for_s: float) -> None:
    """Send messages for a while, and more until they are answered."""

    async def talk() -> None:
        while True:
            await user.says("again", within=60)
            await trio.sleep(0.01)

    with trio.move_on_after(for_s):
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(talk)


async def test_messages_do_not_delay_the_checks_of_a_busy_runner(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    heartbeat, watched = RunnerSupervisor.heartbeat, list[float]()

    def noted(supervisor: RunnerSupervisor) -> int | None:
        watched.append(trio.current_time())
        return heartbeat(supervisor)

    async def brain(_turn: Turn, _tools: Toolbox) -> str:
        await trio.sleep(300)
        return "done"

    monkeypatch.setattr(RunnerSupervisor, "heartbeat", noted)
    ann = world.user("ann")
    chat = await world.direct(ann, world.agent(brain=brain))
    for _ in range(14):
        await ann.says("go")
        await world.sleep(20)
    await chat.expect("done")
    at_work = [moment for moment in watched if moment < 300]
    assert max(after - before for before, after in pairwise(at_work)) < SWEEP_S + 1


async def test_a_turn_that_ends_before_the_host_sees_it_does_not_count_as_stuck(world: World) -> None:
    """Each message is claimed and answered before the session looks at either."""
    ann = world.user("ann")
    chat = await world.direct(ann)
    for text in ("one", "two", "three"):
        await ann.says(text)
        await chat.expect(f"echo: {text}")
        await world.sleep(STUCK_S + 1)
    assert [line.split()[1:3] for line in world.timeline.events() if "runner" in line] == [
        ["runner", "started"]
    ]


async def test_a_runner_that_finishes_turns_between_checks_is_not_stopped(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Turns end before the host reads, and a message always waits: each look finds unclaimed work."""
    ann = world.user("ann")
    await world.direct(ann)
    slow_down_the_host(monkeypatch, 0.1)
    await chatter(ann, for_s=2 * STUCK_S)
    assert [line.split()[1:3] for line in world.timeline.events() if "runner" in line] == [
        ["runner", "started"]
    ]


async def test_a_message_is_reported_as_settled_only_after_its_answer_is_final(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    hint, early = Senders.hint, list[Settled]()

    async def heard(self: Senders, address: Address, what: Typing | Settled) -> None:
        if isinstance(what, Settled):
            paths = only_session(world.home)
            [(id_,)] = rows(paths.inbound_db, BY_EVENT, event=what.platform_message_id)
            answers = rows(paths.outbound_db, ANSWERS, id=id_)
            early.extend(what for (answer,) in answers if rows(paths.inbound_db, OPEN, id=answer))
        await hint(self, address, what)

    ann = world.user("ann")
    await world.direct(ann)
    monkeypatch.setattr(Senders, "hint", heard)
    slow_down_the_host(monkeypatch, 0.1)
    await chatter(ann, for_s=20)
    assert early == []
