"""The date jumps against trio's clock: after a suspend, by NTP, or because a user sets it."""

import json
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest
import trio
from attrs import define

from agent_runner.errors import ProviderError
from agent_runner.providers import Provider, SimpleProvider, Toolbox, load
from agent_runner.records import Reply, Result, Turn
from nanoclaw.records import Outgoing, TextContent
from nanoclaw.testing import FakeChannel, World, simulate, wire
from nanoclaw.testing.world.executor import When
from nanoclaw.testing.world.virtual_time import EPOCH
from tests.host.homes import only_session, rows

AT_ONCE_S = 2.0
"""A runner's start and a turn; without the clock watch it would be the hours that were jumped over."""
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

Scenario = Callable[[World, FakeChannel], Awaitable[None]]


def live(home: Path, scenario: Scenario, provider: Provider | None = None, **changes: Any) -> None:
    """Run a scenario in one life of a host with one chat."""

    async def main(world: World) -> None:
        network = FakeChannel(repeat="idempotent")
        with trio.fail_after(10 * 86_400):
            async with world.life(network, **changes) as host:
                await wire(host, network.address())
                await scenario(world, network)

    simulate(main, seed=1, home=home, providers={"echo": lambda: provider or load("echo")})


def idle(seconds: float) -> dict[str, Any]:
    return {"runtime.idle_s": seconds}


def texts(sent: list[Outgoing]) -> list[str]:
    return [one.content.text for one in sent if isinstance(one.content, TextContent)]


async def schedule(network: FakeChannel, at: datetime, **details: object) -> None:
    arguments = {"prompt": "water the plants", "process_after": at.isoformat(), **details}
    await network.say(f"!schedule_task {json.dumps(arguments)}", event_id="task")
    await network.wait_settled("task")
    network.sent.clear()


# -- forth ---------------------------------------------------------------------


@pytest.mark.parametrize("idle_s", [900.0, 5.0], ids=["runner lives", "session sleeps"])
@pytest.mark.parametrize("recurrence", [None, "0 * * * *"], ids=["once", "hourly"])
def test_a_task_made_due_by_a_clock_jump_runs_once_immediately(
    tmp_path: Path, idle_s: float, recurrence: str | None
) -> None:
    async def scenario(world: World, network: FakeChannel) -> None:
        again = {"recurrence": recurrence} if recurrence else {}
        await schedule(network, world.clock.now() + HOUR, **again)
        await world.sleep(40)
        world.clock.jump(5 * HOUR + HOUR / 2)
        with trio.fail_after(AT_ONCE_S):
            await network.wait_for(1)
        await world.sleep(600)
        assert texts(network.sent) == ["echo: water the plants"]

    live(tmp_path, scenario, **idle(idle_s))


def test_a_jump_is_handled_while_the_disk_is_full(tmp_path: Path) -> None:
    def full(path: Path, when: When, n: int) -> None:
        del when, n
        if path.name == "inbound.db":
            raise apsw.FullError("FullError: database or disk is full")

    async def scenario(world: World, network: FakeChannel) -> None:
        await schedule(network, world.clock.now() + HOUR)
        await world.sleep(40)
        world.commit_hooks.append(full)
        world.clock.jump(2 * HOUR)
        await world.sleep(2)
        world.commit_hooks.remove(full)
        with trio.fail_after(120):
            await network.wait_for(1)

    live(tmp_path, scenario, **idle(5.0))


@define(eq=False)
class Flaky(SimpleProvider):
    """A provider that gives its first message back for an hour."""

    until: datetime | None
    name: str = "echo"
    asked: int = 0

    async def run(self, turn: Turn, tools: Toolbox, /) -> Result:
        del tools
        self.asked += 1
        await trio.lowlevel.checkpoint()
        if self.asked == 1:
            raise ProviderError("the model is away", retry_at=self.until)
        return Result(tuple(Reply("at last", message.id) for message in turn.messages))


def test_a_retry_made_due_by_a_clock_jump_happens_once_immediately(tmp_path: Path) -> None:
    provider = Flaky(EPOCH + HOUR)

    async def scenario(world: World, network: FakeChannel) -> None:
        await network.say("hello", event_id="1")
        await world.sleep(40)
        world.clock.jump(2 * HOUR)
        with trio.fail_after(AT_ONCE_S):
            await network.reply_to("1")
        await world.sleep(600)
        assert (texts(network.sent), provider.asked) == (["at last"], 2)

    live(tmp_path, scenario, provider)


def test_a_delivery_made_due_by_a_clock_jump_is_attempted_once_immediately(tmp_path: Path) -> None:
    async def scenario(world: World, network: FakeChannel) -> None:
        network.fail("unavailable")
        await network.say("hello", event_id="1")
        await network.wait_attempts(1)
        await world.sleep(40)
        world.clock.jump(2 * HOUR)
        with trio.fail_after(AT_ONCE_S):
            await network.reply_to("1")
        await world.sleep(600)
        assert len(network.attempts) == 2

    live(tmp_path, scenario, delivery={"backoff_s": (3600.0, 3600.0)})


@pytest.mark.parametrize("idle_s", [900.0, 5.0], ids=["runner lives", "session sleeps"])
def test_a_delayed_message_made_due_by_a_clock_jump_is_sent_once_immediately(
    tmp_path: Path, idle_s: float
) -> None:
    async def scenario(world: World, network: FakeChannel) -> None:
        await network.say("hello", event_id="1")
        await network.wait_settled("1")
        send_later(only_session(tmp_path).outbound_db, world.clock.now() + 3 * HOUR)
        await network.say("more", event_id="2")
        await network.reply_to("2")
        await world.sleep(40)
        assert texts(network.sent) == ["echo: hello", "echo: more"]
        world.clock.jump(4 * HOUR)
        with trio.fail_after(AT_ONCE_S):
            await network.wait_for(3)
        await world.sleep(600)
        assert texts(network.sent)[2:] == ["later"]

    live(tmp_path, scenario, **idle(idle_s))


def send_later(outbound: Path, at: datetime) -> None:
    """Commit a row as a runner would."""
    connection = apsw.Connection(str(outbound))
    connection.execute(
        """
        INSERT INTO messages_out (id, seq, timestamp, deliver_after, kind, platform_id, channel_type, content)
        VALUES ('out-later', 2001, :at, :at, 'chat', 'chat', 'fake', '{"text": "later"}')
        """,
        {"at": at.strftime("%Y-%m-%dT%H:%M:%S.000Z")},
    ).fetchall()
    connection.close()


# -- back ----------------------------------------------------------------------


def test_a_backward_clock_jump_repeats_nothing_and_loses_nothing(tmp_path: Path) -> None:
    async def scenario(world: World, network: FakeChannel) -> None:
        start = world.clock.now()
        await schedule(network, start + HOUR, recurrence="0 * * * *")
        await world.sleep(2.5 * 3600)
        assert len(network.sent) == 2
        world.clock.jump(-2 * HOUR)
        await network.say("hello", event_id="1")
        with trio.fail_after(AT_ONCE_S):
            await network.reply_to("1")
        await world.sleep(2.4 * 3600)
        assert len(network.sent) == 3  # the task's next slot is only now reached again
        await world.sleep(3600)
        assert texts(network.sent)[3:] == ["echo: water the plants"]
        fired = rows(only_session(tmp_path).inbound_db, "SELECT slot FROM messages_in WHERE kind = 'task'")
        assert len(fired) == len(set(fired)) == 4

    live(tmp_path, scenario)


SOON_S = 45.0
"""More than any default wait after one failure, and less than the date was off."""
OFF = [(8 * HOUR, 8 * HOUR), (365 * DAY, 365 * DAY), (timedelta(), 8 * HOUR), (20 * HOUR, 28 * HOUR)]
"""How far the date is set forward before the wait begins, and back while it lasts."""


@pytest.mark.parametrize("restarts", [False, True], ids=["runs on", "restarts"])
@pytest.mark.parametrize(("forth", "back"), OFF)
def test_a_delivery_in_back_off_waits_no_longer_when_the_date_is_set_back(
    tmp_path: Path,
    forth: timedelta,
    back: timedelta,
    restarts: bool,  # noqa: FBT001 -- pytest
) -> None:
    async def scenario(world: World, network: FakeChannel) -> None:
        world.clock.jump(forth)
        network.fail("unavailable")
        await network.say("hello", event_id="1")
        await network.wait_attempts(1)
        await world.sleep(1)
        await set_back(world, network, back, restarts=restarts)
        with trio.fail_after(SOON_S):
            await network.reply_to("1")
        assert len(network.attempts) == 2

    live(tmp_path, scenario)


@pytest.mark.parametrize("restarts", [False, True], ids=["runs on", "restarts"])
@pytest.mark.parametrize(("forth", "back"), OFF)
@pytest.mark.parametrize("asked_for", [None, timedelta(hours=2)], ids=["back-off", "asked for"])
def test_a_retry_waits_no_longer_when_the_date_is_set_back(
    tmp_path: Path,
    asked_for: timedelta | None,
    forth: timedelta,
    back: timedelta,
    restarts: bool,  # noqa: FBT001 -- pytest
) -> None:
    provider = Flaky(None)

    async def scenario(world: World, network: FakeChannel) -> None:
        world.clock.jump(forth)
        provider.until = world.clock.now() + asked_for if asked_for else None
        await network.say("hello", event_id="1")
        await world.sleep(2)
        assert provider.asked == 1
        await set_back(world, network, back, restarts=restarts)
        started = trio.current_time()
        with trio.fail_after((asked_for or timedelta()).total_seconds() + SOON_S):
            await network.reply_to("1")
        if asked_for is not None:
            assert trio.current_time() - started > asked_for.total_seconds() - SOON_S
        assert (texts(network.sent), provider.asked) == (["at last"], 2)

    live(tmp_path, scenario, provider)


async def set_back(world: World, network: FakeChannel, by: timedelta, *, restarts: bool) -> None:
    if restarts:
        await world.stop()
    world.clock.jump(-by)
    if restarts:
        await world.start(channels=[network])


EVERY_HOUR = ["0 * * * *", "@every 3600", "*/30 * * * *"]


@pytest.mark.parametrize("restarts", [False, True], ids=["runs on", "restarts"])
@pytest.mark.parametrize("recurrence", EVERY_HOUR)
@pytest.mark.parametrize("off", [8 * HOUR, 365 * DAY])
def test_a_task_is_back_at_its_slots_after_the_date_was_wrong_for_a_while(
    tmp_path: Path,
    recurrence: str,
    off: timedelta,
    restarts: bool,  # noqa: FBT001 -- pytest
) -> None:
    async def scenario(world: World, network: FakeChannel) -> None:
        await schedule(network, world.clock.now() + HOUR, recurrence=recurrence)
        await world.sleep(30.5 * 60)
        world.clock.jump(off)
        await world.sleep(60)
        before = len(network.sent)  # one late run, for all that was missed
        await set_back(world, network, off, restarts=restarts)
        with trio.fail_after(2.1 * 3600):  # the first slot may have fired ahead of time
            await network.wait_for(before + 1)
        await world.sleep(24 * 3600 + 60)
        fired = rows(
            only_session(tmp_path).inbound_db,
            "SELECT slot FROM messages_in WHERE kind = 'task' AND slot IS NOT NULL",
        )
        assert len(fired) == len(set(fired))
        period = timedelta(minutes=30) if recurrence.startswith("*/") else HOUR
        # Ahead of time fired a slot of each end of the jump, and one that was computed between.
        assert len(network.sent) - before >= DAY / period - 3

    live(tmp_path, scenario)


@pytest.mark.parametrize("restarts", [False, True], ids=["runs on", "restarts"])
def test_a_daily_task_that_was_computed_on_a_wrong_date_runs_on_the_next_day(
    tmp_path: Path,
    restarts: bool,  # noqa: FBT001 -- pytest
) -> None:
    async def scenario(world: World, network: FakeChannel) -> None:
        start = world.clock.now()
        world.clock.jump(30 * DAY)
        await network.say('!schedule_task {"prompt": "tea", "recurrence": "0 9 * * *"}', event_id="task")
        await network.wait_settled("task")
        network.sent.clear()
        await set_back(world, network, 30 * DAY, restarts=restarts)
        await world.sleep(3 * 86_400)
        [first, *_] = rows(
            only_session(tmp_path).inbound_db, "SELECT slot FROM messages_in WHERE slot IS NOT NULL"
        )
        assert first == ((start + 9 * HOUR).strftime("%Y-%m-%dT%H:%M:%S.000Z"),)
        assert len(network.sent) == 3

    live(tmp_path, scenario)


def test_a_start_that_the_agent_chose_is_kept_when_the_date_is_set_back(tmp_path: Path) -> None:
    async def scenario(world: World, network: FakeChannel) -> None:
        world.clock.jump(8 * HOUR)
        await schedule(network, world.clock.now() + 3 * DAY + HOUR / 2, recurrence="0 * * * *")
        world.clock.jump(-8 * HOUR)
        await world.sleep(3 * 86_400)
        assert network.sent == []
        await world.sleep(10.1 * 3600)
        assert len(network.sent) == 3

    live(tmp_path, scenario)


@pytest.mark.parametrize("restarts", [False, True], ids=["runs on", "restarts"])
def test_a_recurring_reply_is_back_at_its_slots_after_the_date_was_wrong(
    tmp_path: Path,
    restarts: bool,  # noqa: FBT001 -- pytest
) -> None:
    async def scenario(world: World, network: FakeChannel) -> None:
        await network.say("hello", event_id="1")
        await network.wait_settled("1")
        world.clock.jump(30 * DAY)
        with apsw.Connection(str(only_session(tmp_path).outbound_db)) as connection:
            connection.execute(
                """
                INSERT INTO messages_out (id, seq, timestamp, kind, recurrence, content)
                VALUES ('daily', 2001, '', 'chat', '0 9 * * *', '{"text": "daily"}')
                """
            )
        await network.say("more", event_id="2")
        await network.reply_to("2")
        await world.sleep(86_400)
        await set_back(world, network, 31 * DAY, restarts=restarts)
        await world.sleep(3 * 86_400)
        assert [one.message_out_id for one in network.sent if not one.in_reply_to] == [
            "daily@2026-01-31T09:00:00.000Z",
            *(f"daily@2026-01-{day:02}T09:00:00.000Z" for day in (1, 2, 3)),
        ]

    live(tmp_path, scenario)


# -- liveness ------------------------------------------------------------------


@define(eq=False)
class Slow(SimpleProvider):
    """A provider that takes ten minutes."""

    name: str = "echo"
    asked: int = 0

    async def run(self, turn: Turn, tools: Toolbox, /) -> Result:
        del tools
        self.asked += 1
        await trio.sleep(600)
        return Result(tuple(Reply("done", message.id) for message in turn.messages))


@pytest.mark.parametrize("by", [DAY, -DAY], ids=["forth", "back"])
def test_a_clock_jump_does_not_make_a_busy_runner_look_stuck(tmp_path: Path, by: timedelta) -> None:
    provider = Slow()

    async def scenario(world: World, network: FakeChannel) -> None:
        await network.say("hello", event_id="1")
        await world.sleep(30)
        world.clock.jump(by)
        await world.sleep(30)
        world.clock.jump(by)
        await network.reply_to("1")
        assert (provider.asked, len(network.sent)) == (1, 1)

    live(tmp_path, scenario, provider)
