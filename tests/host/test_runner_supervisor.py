"""The supervisor of a runner: starts, stops and reports, in virtual time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio
from attrs import Factory, define
from trio.testing import wait_all_tasks_blocked

from nanoclaw.records import SessionPaths
from nanoclaw.runtimes import Death, RunnerSpec
from nanoclaw.session.events import RecoveryEnded, RunnerEnded, RunnerStarted
from nanoclaw.session.runner_supervisor import RunnerSupervisor
from tests.host.runtimes import FakeRuntime

KILLED = Death(orderly=False, reason="killed")


@define(eq=False)
class Reports:
    """Collects the supervisor's reports."""

    heard: list[RunnerStarted | RunnerEnded | RecoveryEnded] = Factory(list)

    def __call__(self, event: RunnerStarted | RunnerEnded | RecoveryEnded) -> None:
        self.heard.append(event)


@asynccontextmanager
async def a_supervisor(home: Path, runtime: FakeRuntime) -> AsyncIterator[RunnerSupervisor]:
    async def prepare() -> RunnerSpec:
        await trio.lowlevel.checkpoint()
        return RunnerSpec("sess-1", SessionPaths(home), home, "echo", {})

    async with trio.open_nursery() as nursery:
        yield RunnerSupervisor(runtime, nursery, prepare, home / ".heartbeat")
        nursery.cancel_scope.cancel()


async def test_the_life_of_a_runner_is_reported(tmp_path: Path) -> None:
    runtime, reports = FakeRuntime(), Reports()
    async with a_supervisor(tmp_path, runtime) as supervisor:
        supervisor.start(reports)
        runner = await runtime.wait_started(1)
        await wait_all_tasks_blocked()
        runner.die(KILLED)
        await wait_all_tasks_blocked()
    assert reports.heard == [RunnerStarted(), RunnerEnded(KILLED)]


async def test_a_runner_that_cannot_be_started_is_a_death_with_its_reason(tmp_path: Path) -> None:
    reports = Reports()
    async with a_supervisor(tmp_path, FakeRuntime(broken="no engine")) as supervisor:
        supervisor.start(reports)
        await wait_all_tasks_blocked()
    assert reports.heard == [RunnerEnded(Death(orderly=False, reason="no engine"))]


async def test_a_stop_reaches_the_runner_that_is_up_and_no_other(tmp_path: Path) -> None:
    runtime, reports = FakeRuntime(), Reports()
    async with a_supervisor(tmp_path, runtime) as supervisor:
        supervisor.stop()
        supervisor.start(reports)
        supervisor.stop()
        runner = await runtime.wait_started(1)
        await wait_all_tasks_blocked()
        assert not runner.asked
        supervisor.stop()
        assert runner.asked


async def test_a_recovery_runs_the_runner_once(tmp_path: Path) -> None:
    runtime, reports = FakeRuntime(), Reports()
    async with a_supervisor(tmp_path, runtime) as supervisor:
        supervisor.recover(reports)
        await wait_all_tasks_blocked()
    assert (reports.heard, runtime.recovered, runtime.runners) == ([RecoveryEnded()], 1, [])


async def test_a_heartbeat_is_the_time_of_its_file(tmp_path: Path) -> None:
    async with a_supervisor(tmp_path, FakeRuntime()) as supervisor:
        assert supervisor.heartbeat() is None
        (tmp_path / ".heartbeat").touch()
        assert supervisor.heartbeat() == (tmp_path / ".heartbeat").stat().st_mtime_ns
