"""The supervisor of a runner: starts, stops and reports, in virtual time."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import Factory, define, frozen
from trio.testing import wait_all_tasks_blocked

from nanoclaw.host import HostFailed, Seams, open_host
from nanoclaw.records import SessionPaths
from nanoclaw.runtimes import Death, Runner, RunnerSpec, StartFailed
from nanoclaw.session.events import PlaceAwaited, RecoveryEnded, RunnerEnded, RunnerStarted
from nanoclaw.session.resuming import survivors_of
from nanoclaw.session.runner_supervisor import RunnerSupervisor
from tests.host.homes import config
from tests.host.runtimes import FakeRunner, FakeRuntime
from tests.host.test_foreign_code import CANCELLED, Unreadable

KILLED = Death(orderly=False, reason="killed")


@define(eq=False)
class Reports:
    """Collects the supervisor's reports."""

    heard: list[PlaceAwaited | RunnerStarted | RunnerEnded | RecoveryEnded] = Factory(list)

    def __call__(self, event: PlaceAwaited | RunnerStarted | RunnerEnded | RecoveryEnded) -> None:
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


# -- runtimes of other authors ---------------------------------------------------------


@define(eq=False)
class FaultyRuntime(FakeRuntime):
    """A runtime that raises `error` at one point."""

    error: BaseException = Factory(lambda: OSError("no engine"))
    where: str = "run"

    async def run(
        self, spec: RunnerSpec, *, task_status: trio.TaskStatus[Runner] = trio.TASK_STATUS_IGNORED
    ) -> Death:
        if self.where == "returns":
            return KILLED
        if self.where == "nothing":
            return None  # type: ignore[return-value]  # that is what is wrong
        if self.where == "run":
            raise self.error
        async with trio.open_nursery() as nursery:
            runner: Any = await nursery.start(super().run, spec)
            task_status.started(_Deaf(runner, self.error) if self.where == "stop" else runner)
            if self.where == "wait":
                raise self.error
            death: Death = await runner.gone()
            return death

    async def recover(self, spec: RunnerSpec) -> None:
        del spec
        raise self.error

    async def survivors(self) -> Sequence[str]:
        raise self.error


@frozen
class _Deaf:
    """A runner whose `stop` fails."""

    runner: FakeRunner
    error: BaseException

    def stop(self) -> None:
        raise self.error


RUNTIME_ERRORS: list[BaseException] = [
    OSError("no engine"),
    ExceptionGroup("", [StartFailed("no engine")]),
    ExceptionGroup("", [ExceptionGroup("", [OSError("no engine")])]),
    Unreadable(),
    asyncio.CancelledError(),
    CANCELLED,
]


@pytest.mark.parametrize("error", RUNTIME_ERRORS, ids=lambda error: type(error).__name__)
async def test_any_error_of_a_start_is_a_death_with_its_reason(error: BaseException, tmp_path: Path) -> None:
    reports = Reports()
    async with a_supervisor(tmp_path, FaultyRuntime(error=error)) as supervisor:
        supervisor.start(reports)
        await wait_all_tasks_blocked()
        supervisor.recover(reports)
        await wait_all_tasks_blocked()
    death, recovery = reports.heard
    assert isinstance(death, RunnerEnded)
    assert isinstance(recovery, RecoveryEnded)
    assert not death.death.orderly
    assert death.death.reason == recovery.failure
    assert any(words in death.death.reason for words in ("no engine", type(error).__name__))


async def test_an_error_of_a_runtime_while_its_runner_is_up_is_a_death(tmp_path: Path) -> None:
    reports = Reports()
    async with a_supervisor(tmp_path, FaultyRuntime(where="wait")) as supervisor:
        supervisor.start(reports)
        await wait_all_tasks_blocked()
    death = Death(orderly=False, reason="the runtime failed: OSError('no engine')")
    assert reports.heard == [RunnerStarted(), RunnerEnded(death)]


async def test_a_runner_whose_stop_fails_is_cancelled(tmp_path: Path) -> None:
    reports = Reports()
    async with a_supervisor(tmp_path, FaultyRuntime(where="stop")) as supervisor:
        supervisor.start(reports)
        await wait_all_tasks_blocked()
        supervisor.stop()
        await wait_all_tasks_blocked()
    assert [type(event) for event in reports.heard] == [RunnerStarted, RunnerEnded]


async def test_a_runtime_may_report_a_death_without_a_start(tmp_path: Path) -> None:
    reports = Reports()
    async with a_supervisor(tmp_path, FaultyRuntime(where="returns")) as supervisor:
        supervisor.start(reports)
        await wait_all_tasks_blocked()
        supervisor.runtime = FaultyRuntime(where="nothing")
        supervisor.start(reports)
        await wait_all_tasks_blocked()
    nothing = Death(orderly=False, reason="the runtime ended without reporting how the runner ended")
    assert reports.heard == [RunnerEnded(KILLED), RunnerEnded(nothing)]


class Undecided(FakeRuntime):
    def refusal(self, _provider: str) -> str | None:
        raise ValueError("not yet")


async def test_a_runtime_that_cannot_say_what_it_runs_is_one_error_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(HostFailed, match=r"the runtime failed: ValueError\('not yet'\)"):
        async with open_host(config(tmp_path), seams=Seams(runtime=Undecided())):
            pass


@pytest.mark.parametrize("error", RUNTIME_ERRORS, ids=lambda error: type(error).__name__)
async def test_a_host_starts_if_its_runtime_cannot_name_the_survivors(error: BaseException) -> None:
    assert await survivors_of(FaultyRuntime(error=error)) == ()
