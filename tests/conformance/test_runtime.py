"""Our own runtimes conform to their protocol, and each check of the suite fails for a broken runtime."""

import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from random import Random

import pytest
import trio
from attrs import define, evolve, frozen

from agent_runner.providers import SimpleProvider, Toolbox
from agent_runner.records import Result, Turn
from agent_runner.seams import Seams as RunnerSeams
from nanoclaw.runtimes import Death, Runner, RunnerSpec, StartFailed
from nanoclaw.runtimes.child import ProcessRunner
from nanoclaw.runtimes.process import ProcessRuntime
from nanoclaw.testing import Timeline
from nanoclaw.testing.conformance import NotConforming, RuntimeUnderTest, make_session, runtime_checks
from nanoclaw.testing.conformance.runtime import CHECKS
from nanoclaw.testing.world.executor import InlineExecutor
from nanoclaw.testing.world.runtime import SimulatedRunner, SimulatedRuntime
from nanoclaw.testing.world.virtual_time import VirtualClock

NAMES = [check.__name__ for check in CHECKS]
Opens = Callable[[], AbstractAsyncContextManager[RuntimeUnderTest]]


async def run(name: str, opens: Opens) -> str | None:
    [check] = [one for one in runtime_checks(opens) if one.name == name]
    return await check()


@define(eq=False)
class Told:
    """A runtime that reports a started runner after the test has changed it."""

    status: trio.TaskStatus[Runner]
    do: Callable[[SimulatedRunner], Runner]

    def started(self, value: Runner | None = None) -> None:
        assert isinstance(value, SimulatedRunner)
        self.status.started(self.do(value))


@define(eq=False)
class StopsOnce:
    """A runner that can be asked to stop only once."""

    runner: SimulatedRunner
    asked: bool = False

    def stop(self) -> None:
        if self.asked:
            raise OSError("it is closed")
        self.asked = True
        self.runner.stop()


def abandoned(runner: SimulatedRunner) -> Runner:
    runner.abandoned = True
    return runner


@define(eq=False)
class Broken(SimulatedRuntime):
    """A runtime that does one thing wrong, or nothing."""

    wrong: str | None = None
    lives: int = 0

    async def run(
        self, spec: RunnerSpec, *, task_status: trio.TaskStatus[Runner] = trio.TASK_STATUS_IGNORED
    ) -> Death:
        self.lives += 1
        match self.wrong:
            case "starts one only" if self.lives > 1:
                raise StartFailed("one is enough")
            case "is content with anything" if spec.provider != "echo":
                return Death(orderly=True, reason="")
            case "finds a survivor and looks away" if spec.session_id in self.runners:
                await trio.sleep(1)
            case "stops once":
                task_status = Told(task_status, StopsOnce)
            case "leaves a survivor":
                task_status = Told(task_status, abandoned)
        death = await super().run(self._taken_for(spec), task_status=task_status)
        match self.wrong:
            case "calls an end a death":
                return Death(orderly=False, reason="it is gone")
            case "calls a death an end":
                return Death(orderly=True, reason=death.reason)
        return death

    def _taken_for(self, spec: RunnerSpec) -> RunnerSpec:
        match self.wrong:
            case "adopts any survivor" if spec.session_id in self.runners:
                spec = self.runners[spec.session_id].spec
            case "has another workspace":
                spec = evolve(spec, workspace=spec.workspace.parent)
        return spec

    async def _started(self, spec: RunnerSpec, seams: RunnerSeams, nursery: trio.Nursery) -> SimulatedRunner:
        runner = await super()._started(spec, seams, nursery)
        if self.wrong == "starts a survivor and looks away":
            await trio.sleep(1)
        return runner

    async def survivors(self) -> Sequence[str]:
        if self.wrong == "dreams":
            return ["sess-1"]
        return [] if self.wrong == "forgets survivors" else await super().survivors()

    async def recover(self, spec: RunnerSpec) -> None:
        if self.wrong == "damages":
            spec.paths.outbound_db.write_bytes(b"oops")
        elif self.wrong != "recovers nothing":
            await super().recover(spec)


@frozen
class Idle(SimpleProvider):
    """A provider that never answers."""

    name: str = "echo"

    async def run(self, turn: Turn, tools: Toolbox, /) -> Result:
        del turn, tools
        await trio.sleep_forever()
        raise AssertionError


def kill(runner: Runner) -> None:
    assert isinstance(runner, SimulatedRunner)
    runner.kill()


def hang(runner: Runner) -> None:
    assert isinstance(runner, SimulatedRunner)
    runner.abandoned = True


def simulated(home: Path, wrong: str | None = None) -> Opens:
    @asynccontextmanager
    async def opens() -> AsyncIterator[RuntimeUnderTest]:
        executor, clock = InlineExecutor(), VirtualClock()
        providers = {"echo": Idle} if wrong == "is idle" else {}
        runtime = Broken(executor, clock, Random(1), Timeline(), providers, wrong=wrong)
        spec = await make_session(home, executor=executor, clock=clock)
        other = await make_session(home, session="sess-2", executor=executor, clock=clock)
        if wrong is None or "surviv" not in wrong:
            yield RuntimeUnderTest(
                runtime, spec, kill=kill, hang=hang if wrong == "hangs" else None, other=other
            )
            return
        async with runtime.outliving():
            yield RuntimeUnderTest(runtime, spec, kill=kill, host_dies=runtime.host_died)

    return opens


def process(home: Path) -> Opens:
    def send(number: signal.Signals) -> Callable[[Runner], None]:
        def to(runner: Runner) -> None:
            assert isinstance(runner, ProcessRunner)
            os.kill(runner.process.pid, number)

        return to

    @asynccontextmanager
    async def opens() -> AsyncIterator[RuntimeUnderTest]:
        yield RuntimeUnderTest(
            ProcessRuntime(grace_s=0.5),
            await make_session(home),
            grace_s=0.5,
            kill=send(signal.SIGKILL),
            hang=send(signal.SIGSTOP),
            other=await make_session(home, session="sess-2"),
        )

    return opens


@pytest.mark.parametrize("check", NAMES)
async def test_the_simulated_runtime_conforms(
    check: str, tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    del autojump_clock
    await run(check, simulated(tmp_path))


@pytest.mark.parametrize(
    "check",
    [
        "one_that_outlives_its_host_is_adopted",
        "an_adoption_that_is_cancelled_leaves_nobody",
        "one_that_was_started_otherwise_is_not_adopted",
    ],
)
async def test_the_simulated_runtime_with_surviving_runners_conforms(
    check: str, tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    del autojump_clock
    assert await run(check, simulated(tmp_path, "has survivors")) is None


@pytest.mark.slow
@pytest.mark.parametrize("check", NAMES)
async def test_the_process_runtime_conforms(check: str, tmp_path: Path) -> None:
    await run(check, process(tmp_path))


# -- every check has a failing example -------------------------------------------------

FAULTS = [
    ("a_runner_that_was_started_works", "is idle"),
    ("one_that_cannot_work_does_not_end_in_order", "is content with anything"),
    ("it_works_in_the_places_of_its_specification", "has another workspace"),
    ("sessions_have_runners_of_their_own", "starts one only"),
    ("a_session_may_have_another_one_afterwards", "starts one only"),
    ("a_runner_that_is_asked_to_go_ends_in_order", "calls an end a death"),
    ("stop_may_be_repeated", "stops once"),
    ("a_death_is_reported", "calls a death an end"),
    ("one_that_hangs_is_killed_after_the_grace", "hangs"),
    ("cancellation_stops_the_runner_first", "leaves a survivor"),
    ("a_start_that_is_cancelled_leaves_nobody", "starts a survivor and looks away"),
    ("without_a_dead_host_nobody_has_survived", "dreams"),
    ("one_that_outlives_its_host_is_adopted", "forgets survivors"),
    ("an_adoption_that_is_cancelled_leaves_nobody", "finds a survivor and looks away"),
    ("one_that_was_started_otherwise_is_not_adopted", "adopts any survivor"),
    ("what_a_dead_runner_left_half_done_is_rolled_back", "recovers nothing"),
    ("a_sound_database_is_left_as_it_is", "damages"),
    ("what_cannot_be_recovered_is_said", "recovers nothing"),
]


@pytest.mark.parametrize(("check", "wrong"), FAULTS)
async def test_each_broken_runtime_fails_its_check(
    check: str, wrong: str, tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    del autojump_clock
    with pytest.raises(NotConforming, match=f"^{check}: "):
        await run(check, simulated(tmp_path, wrong))


def test_every_check_has_a_failing_example() -> None:
    assert list(dict.fromkeys(check for check, _ in FAULTS)) == NAMES
