"""A host dies with its runner in a turn. The next runner dies before its first claim."""

from pathlib import Path

import trio
from attrs import Factory, define

from nanoclaw.runtimes import Death, Runner, RunnerSpec, StartFailed
from nanoclaw.testing import FakeChannel
from tests.host.homes import only_session, rows
from tests.host.runtimes import FakeRuntime
from tests.host.test_deliveries import a_host, acks, container_runs, says

KILLED = Death(orderly=False, reason="killed")


async def test_the_death_of_a_runner_costs_no_try_for_inherited_claims(
    tmp_path: Path,
) -> None:
    channel, first, second = FakeChannel(), FakeRuntime(), FakeRuntime()
    async with a_host(tmp_path, channel, first):
        [message] = (await channel.say("x", event_id="1")).message_ids
        await first.wait_started(1)
        paths = only_session(tmp_path)
        container_runs(paths, acks(message, "processing"))
    async with a_host(tmp_path, channel, second):
        (await second.wait_started(1)).die(KILLED)
        await second.wait_started(2)
        assert rows(paths.inbound_db, "SELECT status, tries FROM messages_in") == [("pending", 0)]
        container_runs(paths, says("late", 1, None), acks(message, "completed"))  # the predecessor's commit
        assert await channel.wait_settled("1") == "completed"
    assert rows(paths.inbound_db, "SELECT status, tries FROM messages_in") == [("completed", 0)]


async def test_a_runner_that_dies_after_it_claimed_again_costs_a_try(tmp_path: Path) -> None:
    channel, first, second = FakeChannel(), FakeRuntime(), FakeRuntime()
    async with a_host(tmp_path, channel, first):
        [message] = (await channel.say("x", event_id="1")).message_ids
        await first.wait_started(1)
        paths = only_session(tmp_path)
        container_runs(paths, acks(message, "processing"))
    async with a_host(tmp_path, channel, second):
        runner = await second.wait_started(1)
        again = "UPDATE processing_ack SET status_changed = 'later'"
        container_runs(paths, says("sent", 1, None), (again, {}))
        await channel.wait_for(1)  # the claim has been seen, too
        runner.die(KILLED)
        await second.wait_started(2)
        assert rows(paths.inbound_db, "SELECT status, tries FROM messages_in") == [("pending", 1)]


@define(eq=False)
class Unreachable(FakeRuntime):
    """A container engine that is slow and then missing."""

    asked: trio.Event = Factory(trio.Event)
    gives_up: trio.Event = Factory(trio.Event)
    asked_again: trio.Event = Factory(trio.Event)

    async def run(
        self, spec: RunnerSpec, *, task_status: trio.TaskStatus[Runner] = trio.TASK_STATUS_IGNORED
    ) -> Death:
        del spec, task_status
        if self.asked.is_set():
            self.asked_again.set()
            await trio.sleep_forever()
        self.asked.set()
        await self.gives_up.wait()
        raise StartFailed("the engine is gone")


async def test_claims_of_a_living_runner_that_cannot_be_reached_cost_no_try(tmp_path: Path) -> None:
    channel, first, engine = FakeChannel(), FakeRuntime(), Unreachable()
    async with a_host(tmp_path, channel, first):
        [message] = (await channel.say("x", event_id="1")).message_ids
        await first.wait_started(1)
        paths = only_session(tmp_path)
    async with a_host(tmp_path, channel, engine):
        await engine.asked.wait()
        container_runs(paths, says("sent", 1, None), acks(message, "processing"))
        await channel.wait_for(1)  # the claim has been seen, too
        engine.gives_up.set()
        await engine.asked_again.wait()  # the failed start is settled
        assert rows(paths.inbound_db, "SELECT status, tries FROM messages_in") == [("pending", 0)]
