"""Tasks over days of virtual time, with the real host and runner: missed, late and broken runs."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import apsw
import pytest
import trio

from nanoclaw.records import TextContent
from nanoclaw.testing import FakeChannel, World, simulate, wire
from tests.host.homes import only_session, rows

HOUR, DAY = 3600.0, 86_400.0
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def says(network: FakeChannel) -> list[str]:
    return [one.content.text for one in network.sent if isinstance(one.content, TextContent)]


def runs(network: FakeChannel) -> int:
    return says(network).count("echo: water")


def slots(home: Path) -> list[tuple[str, str]]:
    """Return the hour of the month and the status of each occurrence."""
    sql = "SELECT slot, status FROM messages_in WHERE kind = 'task' ORDER BY slot"
    found = rows(only_session(home).inbound_db, sql)
    hours = [(datetime.fromisoformat(slot) - EPOCH) / timedelta(hours=1) for slot, _ in found]
    return [(f"{hour:g}", status) for hour, (_, status) in zip(hours, found, strict=True)]


def simulated(home: Path, scenario: Callable[[World, FakeChannel], Awaitable[None]]) -> FakeChannel:
    network = FakeChannel(repeat="idempotent")

    async def whole(world: World) -> None:
        with trio.fail_after(40 * DAY):
            await scenario(world, network)

    simulate(whole, seed=1, home=home)
    return network


async def schedule(world: World, network: FakeChannel, task: str, lasting: float) -> None:
    """Run the host once, and schedule a task at its start."""
    async with world.life(network) as host:
        await wire(host, network.address())
        await network.say("!schedule_task " + task)
        await network.wait_for(1)
        await trio.sleep_until(lasting)


async def live_until(world: World, network: FakeChannel, hour: float) -> None:
    async with world.life(network):
        await trio.sleep_until(hour * HOUR)


def hourly(**more: str) -> str:
    settings = "".join(f', "{key}": "{value}"' for key, value in more.items())
    return f'{{"prompt": "water", "recurrence": "@hourly"{settings}}}'


def test_a_task_fires_once_at_each_of_its_times(tmp_path: Path) -> None:
    network = simulated(tmp_path, lambda world, net: schedule(world, net, hourly(), 5.5 * HOUR))
    assert runs(network) == 5
    assert slots(tmp_path) == [*((str(n), "completed") for n in range(1, 6)), ("6", "pending")]


def test_a_task_that_runs_once_leaves_nothing_behind(tmp_path: Path) -> None:
    once = '{"prompt": "water", "process_after": "2026-01-01T02:00"}'
    network = simulated(tmp_path, lambda world, net: schedule(world, net, once, 3 * HOUR))
    assert runs(network) == 1
    assert slots(tmp_path) == [("2", "completed")]


async def outage(world: World, network: FakeChannel, task: str) -> None:
    """The host is down from 1:30 to 6:15."""
    await schedule(world, network, task, 1.5 * HOUR)
    await trio.sleep_until(6.25 * HOUR)
    await live_until(world, network, 7.5)


@pytest.mark.parametrize(
    ("catch_up", "fired"),
    [
        ("skip", ["1", "2", "7"]),  # one late run for all missed slots
        ("all", ["1", "2", "3", "4", "5", "6", "7"]),
        ("none", ["1", "7"]),
    ],
)
def test_missed_slots_follow_the_tasks_catch_up(tmp_path: Path, catch_up: str, fired: list[str]) -> None:
    network = simulated(tmp_path, partial(outage, task=hourly(catch_up=catch_up)))
    assert runs(network) == len(fired)
    dropped = {"2"} if catch_up == "none" else set[str]()  # its slot is dropped, and counts as completed
    completed = sorted({*fired, *dropped}, key=int)
    assert slots(tmp_path) == [*((hour, "completed") for hour in completed), ("8", "pending")]


def test_a_task_that_was_missed_for_seconds_is_run(tmp_path: Path) -> None:
    async def restart(world: World, network: FakeChannel) -> None:
        await schedule(world, network, hourly(catch_up="none"), HOUR - 10)
        await trio.sleep_until(HOUR + 10)
        await live_until(world, network, 1.5)

    assert runs(simulated(tmp_path, restart)) == 1


def test_a_slot_that_must_not_run_late_is_dropped_in_a_running_host_too(tmp_path: Path) -> None:
    async def without_an_engine(world: World, network: FakeChannel) -> None:
        await schedule(world, network, hourly(catch_up="none"), 0.5 * HOUR)
        async with world.life(network):
            world.runtime.gone = "the engine is away"
            await trio.sleep_until(2.5 * HOUR)
            world.runtime.gone = None
            await trio.sleep_until(3.5 * HOUR)

    network = simulated(tmp_path, without_an_engine)
    assert runs(network) == 1
    assert slots(tmp_path) == [*((str(n), "completed") for n in range(1, 4)), ("4", "pending")]


def test_a_paused_task_rests_and_a_cancelled_one_ends(tmp_path: Path) -> None:
    async def day(world: World, network: FakeChannel) -> None:
        async with world.life(network) as host:
            await wire(host, network.address())
            await network.say("!schedule_task " + hourly(), event_id="a")
            await network.reply_to("a")
            task_id = rows(
                only_session(tmp_path).inbound_db, "SELECT id FROM messages_in WHERE kind = 'task'"
            )
            named = f'{{"task_id": "{task_id[0][0]}"}}'
            for at, call in ((1.5, "pause_task"), (3.5, "resume_task"), (4.5, "cancel_task")):
                await trio.sleep_until(at * HOUR)
                await network.say(f"!{call} {named}", event_id=call)
                await network.reply_to(call)
            await trio.sleep_until(7 * HOUR)

    network = simulated(tmp_path, day)
    assert slots(tmp_path) == [(hour, "completed") for hour in ("1", "2", "4", "5")]
    assert runs(network) == 3  # the run of two o'clock was late, that of five was cancelled


def test_an_invalid_schedule_stops_only_its_series_with_a_notice(tmp_path: Path) -> None:
    async def damaged(world: World, network: FakeChannel) -> None:
        await schedule(world, network, hourly(), 0.5 * HOUR)
        async with world.life(network):
            await network.say("!schedule_task " + hourly(catch_up="all"), event_id="second")
            await network.reply_to("second")
            await trio.sleep_until(0.6 * HOUR)
        with apsw.Connection(str(only_session(tmp_path).inbound_db)) as connection:
            connection.execute(
                "UPDATE messages_in SET recurrence = 'whenever' WHERE kind = 'task' AND catch_up = 'skip'"
            )
        await live_until(world, network, 3.5)

    network = simulated(tmp_path, damaged)
    assert runs(network) == 4
    told = [text for text in says(network) if text.startswith("A task of yours has stopped")]
    assert len(told) == 1
    assert "'whenever'" in told[0]


# -- what is sent later, and again ---------------------------------------------


def row(id_: str, seq: int, **columns: Any) -> tuple[str, dict[str, Any]]:
    """Return a row of `messages_out`, as a runner writes it."""
    values = {"id": id_, "seq": seq, "deliver_after": None, "recurrence": None, **columns}
    sql = """
        INSERT INTO messages_out (id, seq, timestamp, kind, deliver_after, recurrence, content)
        VALUES (:id, :seq, '', 'chat', :deliver_after, :recurrence, json_object('text', :id))
        """
    return sql, values


def test_a_message_that_recurs_is_sent_at_each_slot_across_restarts(tmp_path: Path) -> None:
    async def days(world: World, network: FakeChannel) -> None:
        async with world.life(network) as host:
            await wire(host, network.address())
            await network.say("hello")
            await network.wait_for(1)
        with apsw.Connection(str(only_session(tmp_path).outbound_db)) as connection:
            for sql, values in (
                row("later", 101, deliver_after="2026-01-01T05:00:00Z"),
                row("daily", 103, recurrence="0 9 * * *"),
                row("odd", 105, recurrence="never ever"),
                row("now", 107),
            ):
                connection.execute(sql, values)
        await network_of(world, network, 1.0)
        await live_until(world, network, 12)
        await trio.sleep_until(4 * DAY)
        await live_until(world, network, 4 * 24 + 10)

    network = simulated(tmp_path, days)
    assert [one.message_out_id for one in network.sent if not one.in_reply_to] == [
        "now",
        "later",
        "daily@2026-01-01T09:00:00.000Z",
        "daily@2026-01-02T09:00:00.000Z",  # late: one delivery for all missed slots
        "daily@2026-01-05T09:00:00.000Z",
    ]


async def network_of(world: World, network: FakeChannel, hour: float) -> None:
    """Run the host and send a message, so that the session reads its files."""
    async with world.life(network):
        await network.say("wake up")
        await trio.sleep_until(hour * HOUR)
