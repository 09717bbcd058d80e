"""Tasks that leave out times of their schedule have a line in the status."""

import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import apsw
import trio

from nanoclaw.host import Host
from nanoclaw.records.status import SilentTask
from nanoclaw.testing import FakeChannel, World, simulate, wire
from tests.host.homes import only_session

HOUR = timedelta(hours=1)
Scenario = Callable[[World, FakeChannel, Host], Awaitable[None]]


def live(home: Path, scenario: Scenario) -> None:
    async def main(world: World) -> None:
        network = FakeChannel(repeat="idempotent")
        with trio.fail_after(10 * 86_400):
            async with world.life(network) as host:
                await wire(host, network.address())
                await scenario(world, network, host)

    simulate(main, seed=1, home=home)


async def schedule(network: FakeChannel, event_id: str = "task", **details: object) -> None:
    await network.say(f"!schedule_task {json.dumps({'prompt': 'water', **details})}", event_id=event_id)
    await network.wait_settled(event_id)


async def silent(home: Path, host: Host) -> tuple[SilentTask, ...]:
    details = await host.sessions.status(only_session(home).root.name, 1.0)
    assert details is not None
    return details.silent


def test_a_task_that_keeps_its_times_has_no_line(tmp_path: Path) -> None:
    async def scenario(world: World, network: FakeChannel, host: Host) -> None:
        await schedule(network, recurrence="0 * * * *")
        for _ in range(5):
            assert await silent(tmp_path, host) == ()
            await world.sleep(0.7 * 3600)

    live(tmp_path, scenario)


def test_a_task_whose_times_ran_while_the_date_was_ahead_has_a_line_until_it_runs(tmp_path: Path) -> None:
    async def scenario(world: World, network: FakeChannel, host: Host) -> None:
        await schedule(network, recurrence="0 * * * *", catch_up="all")
        await world.sleep(600)
        world.clock.jump(3 * HOUR)
        await world.sleep(60)
        world.clock.jump(-3 * HOUR)
        await world.sleep(60)
        [task] = await silent(tmp_path, host)
        assert task.reason == (
            "waits until 2026-01-01T04:00:00.000Z, and leaves out its times from 2026-01-01T01:00:00.000Z on"
        )
        await world.sleep(4 * 3600)
        assert await silent(tmp_path, host) == ()

    live(tmp_path, scenario)


def test_a_task_that_no_runner_takes_has_a_line(tmp_path: Path) -> None:
    async def scenario(world: World, network: FakeChannel, host: Host) -> None:
        await schedule(network, recurrence="*/10 * * * *")
        world.runtime.gone = "the engine is away"
        world.kill_runner()
        await world.sleep(3600)
        [task] = await silent(tmp_path, host)
        assert task.reason == "is due since 2026-01-01T00:10:00.000Z, but no runner has taken it"

    live(tmp_path, scenario)


def test_a_paused_task_has_no_line(tmp_path: Path) -> None:
    async def scenario(world: World, network: FakeChannel, host: Host) -> None:
        await schedule(network, recurrence="0 * * * *")
        [task] = await host.admin.tasks.list()
        await schedule(network, "later", process_after="2026-02-01T00:00:00Z")  # keeps the session living
        await host.admin.tasks.pause(f"{task.session_id}/{task.id}")
        await world.sleep(5 * 3600)
        assert await silent(tmp_path, host) == ()

    live(tmp_path, scenario)


def test_an_unreadable_recurrence_has_a_line(tmp_path: Path) -> None:
    async def scenario(world: World, network: FakeChannel, host: Host) -> None:
        await schedule(network, recurrence="0 9 * * *")
        await world.stop()
        with apsw.Connection(str(only_session(tmp_path).inbound_db)) as connection:
            connection.execute("UPDATE messages_in SET recurrence = 'whenever' WHERE kind = 'task'")
        host = await world.start(channels=[network])
        await world.sleep(1)
        [task] = await silent(tmp_path, host)
        assert task.reason.startswith("has no times after this one: The schedule 'whenever' is invalid")
        await world.stop()

    live(tmp_path, scenario)
