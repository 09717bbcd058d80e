"""The runner's process is killed: at every commit of a turn, with a hot journal, idle, starting, hanging."""

import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import inf
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import define, field

from nanoclaw.host import Host, Seams, open_host
from nanoclaw.records import TextContent
from nanoclaw.runtimes import Runner, RunnerSpec, Runtime, RuntimeWrapper
from nanoclaw.runtimes.child import ProcessRunner
from nanoclaw.runtimes.process import ProcessRuntime
from nanoclaw.runtimes.protocol import Death
from nanoclaw.runtimes.supervised import SupervisedProcess
from nanoclaw.testing import FakeChannel, wire
from tests.host.homes import GUARD_S, config, only_session, statuses
from tests.store.openings import leave_hot_journal

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("killing_runner.py")


@define(eq=False)
class Watched(RuntimeWrapper):
    """The process runtime, with the processes that it started."""

    runtime: Runtime = field(factory=ProcessRuntime)
    processes: list[SupervisedProcess] = field(factory=list)
    recovered: int = 0
    _started: trio.Event = field(factory=trio.Event)

    async def run(
        self, spec: RunnerSpec, *, task_status: trio.TaskStatus[Runner] = trio.TASK_STATUS_IGNORED
    ) -> Death:
        runtime, outer = self, task_status

        class Status(trio.TaskStatus[Runner]):
            def started(self, value: Runner) -> None:
                assert isinstance(value, ProcessRunner)
                runtime.add(value.process)
                outer.started(value)

        return await self.runtime.run(spec, task_status=Status())

    async def recover(self, spec: RunnerSpec) -> None:
        self.recovered += 1
        await super().recover(spec)

    def add(self, process: SupervisedProcess) -> None:
        self.processes.append(process)
        self._started.set()
        self._started = trio.Event()

    async def wait_started(self, n: int) -> SupervisedProcess:
        while len(self.processes) < n:
            await self._started.wait()
        return self.processes[n - 1]


def killing(mark: Path, kill: str) -> ProcessRuntime:
    return ProcessRuntime(command=(sys.executable, "-P", str(SCRIPT), str(mark), kill))


@asynccontextmanager
async def a_host(home: Path, channel: FakeChannel, runtime: Watched, **changes: Any) -> AsyncIterator[Host]:
    with trio.fail_after(GUARD_S * 2):
        async with open_host(
            config(home, **changes), channels=[channel], seams=Seams(runtime=runtime)
        ) as host:
            await wire(host, channel.address())
            yield host


# -- at every commit -----------------------------------------------------------


@pytest.mark.parametrize("kill", ["before:1", "after:1", "before:2", "after:2"])
async def test_a_kill_at_any_commit_of_the_runner_is_retried(tmp_path: Path, kill: str) -> None:
    channel, mark = FakeChannel(), tmp_path / "mark"
    async with a_host(tmp_path, channel, Watched(killing(mark, kill))):
        await channel.say("hello", event_id="1")
        await channel.reply_to("1")
        assert await channel.wait_settled("1") == "completed"
    assert mark.exists()
    assert len(channel.sent) == 1
    assert statuses(tmp_path) == ["completed"]


async def test_a_turn_has_no_other_commits(tmp_path: Path) -> None:
    channel, mark = FakeChannel(), tmp_path / "mark"
    async with a_host(tmp_path, channel, Watched(killing(mark, "before:3"))):
        await channel.say("hello", event_id="1")
        await channel.wait_settled("1")
    assert not mark.exists()


@pytest.mark.parametrize("kill", ["hot:1", "hot:2"])
async def test_a_hot_journal_is_rolled_back_by_the_runner_and_the_message_is_answered_once(
    tmp_path: Path, kill: str
) -> None:
    channel, mark, runtime = FakeChannel(), tmp_path / "mark", Watched(killing(tmp_path / "mark", kill))
    async with a_host(tmp_path, channel, runtime):
        await channel.say("hello", event_id="1")
        await channel.reply_to("1")
        await channel.wait_settled("1")
    assert mark.exists()
    assert runtime.recovered == 1
    assert len(channel.sent) == 1


async def test_a_hot_journal_keeps_no_reply_from_being_delivered_after_a_restart(tmp_path: Path) -> None:
    channel, runtime = FakeChannel(), Watched()
    channel.fail("unavailable", times=inf)
    async with a_host(tmp_path, channel, runtime, delivery={"backoff_s": (0.05,) * 100}):
        await channel.say("hello", event_id="1")
        await channel.wait_attempts(1)
    assert statuses(tmp_path) == ["completed"]
    leave_hot_journal(only_session(tmp_path).outbound_db)
    channel.heal()
    async with a_host(tmp_path, channel, runtime):
        await channel.reply_to("1")
    assert (runtime.recovered, len(channel.sent)) == (1, 1)


# -- at other times ------------------------------------------------------------


async def test_a_kill_while_idle_costs_no_message_a_try_and_the_next_one_is_answered(tmp_path: Path) -> None:
    channel, runtime = FakeChannel(), Watched()
    async with a_host(tmp_path, channel, runtime):
        await channel.say("one", event_id="1")
        await channel.wait_settled("1")
        (await runtime.wait_started(1)).kill()
        await channel.say("two", event_id="2")
        await channel.reply_to("2")
        assert len(channel.sent) == 2


async def test_a_kill_while_it_starts_is_made_good(tmp_path: Path) -> None:
    channel, runtime = FakeChannel(), Watched()
    async with a_host(tmp_path, channel, runtime):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: channel.say("one", event_id="1"))
            (await runtime.wait_started(1)).kill()
        await channel.reply_to("1")
        assert len(runtime.processes) == 2


async def test_a_runner_that_does_not_stop_is_killed_after_the_grace(tmp_path: Path) -> None:
    channel, runtime = FakeChannel(), Watched(ProcessRuntime(grace_s=0.2))
    async with a_host(tmp_path, channel, runtime):
        await channel.say("one", event_id="1")
        await channel.wait_settled("1")
        process = runtime.processes[0]
        process.send_signal(signal.SIGSTOP)
        start = trio.current_time()
    assert process.returncode == -signal.SIGKILL
    assert trio.current_time() - start < 2.0


async def test_a_message_on_which_every_runner_dies_fails_and_the_user_is_told(tmp_path: Path) -> None:
    channel, runtime = FakeChannel(), Watched(killing(tmp_path / "mark", "turn"))
    async with a_host(tmp_path, channel, runtime):
        await channel.say("hello", event_id="1")
        told = await channel.reply_to("1")
        assert await channel.wait_settled("1") == "failed"
    assert isinstance(told.content, TextContent)
    assert re.match("I could not answer your message after 5 tries: .*SIGKILL", told.content.text)
    assert len(runtime.processes) == 5


async def test_runners_that_die_before_they_claim_cost_no_try_and_waiting_users_are_told_once(
    tmp_path: Path,
) -> None:
    command = (sys.executable, "-c", "import os; os.kill(os.getpid(), 9)")
    channel, runtime = FakeChannel(), Watched(ProcessRuntime(command=command))
    async with a_host(tmp_path, channel, runtime):
        await channel.say("hello", event_id="1")
        await runtime.wait_started(7)
        [told] = await channel.wait_for(1)
        await runtime.wait_started(8)
    assert (statuses(tmp_path), len(channel.sent)) == (["pending"], 1)
    assert isinstance(told.content, TextContent)
    assert re.match("I cannot work at the moment: .*SIGKILL. Your messages are kept", told.content.text)
    async with a_host(tmp_path, channel, Watched()):
        await channel.reply_to("1")
