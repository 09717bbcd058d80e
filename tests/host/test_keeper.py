"""The keeper of a runner, in virtual time."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from attrs import Factory, define
from trio.testing import wait_all_tasks_blocked

from nanoclaw.records import SessionPaths
from nanoclaw.runtimes import Death, RunnerSpec
from nanoclaw.session.keeper import MAX_BACKOFF_S, STUCK_S, Heartbeat, Keeper
from tests.host.runtimes import FakeRuntime

KILLED = Death(orderly=False, reason="killed")
LEFT = Death(orderly=True, reason="left")


@define(eq=False)
class Bell:
    """Rings when the keeper says that something changed."""

    rung: int = 0
    _event: trio.Event = Factory(trio.Event)

    def __call__(self) -> None:
        self.rung += 1
        self._event.set()
        self._event = trio.Event()

    async def wait(self, n: int) -> None:
        while self.rung < n:
            await self._event.wait()


@asynccontextmanager
async def a_keeper(home: Path, runtime: FakeRuntime) -> AsyncIterator[Keeper]:
    async def prepare() -> RunnerSpec:
        await trio.lowlevel.checkpoint()
        return RunnerSpec("sess-1", SessionPaths(home), home, "echo", {})

    async with trio.open_nursery() as nursery:
        yield Keeper(runtime, nursery, prepare, Heartbeat(home / ".heartbeat"), 1.0)
        nursery.cancel_scope.cancel()


async def one_life(keeper: Keeper, runtime: FakeRuntime, death: Death, *, useful: bool = False) -> None:
    """Start a runner, let it die, settle."""
    bell = Bell()
    keeper.start(bell)
    (await runtime.wait_started(len(runtime.runners) + 1)).die(death)
    await bell.wait(1)
    assert (keeper.state, keeper.death) == ("dead", death)
    keeper.settled(useful=useful)
    assert keeper.state == "absent"


# -- back-off ------------------------------------------------------------------


async def test_each_useless_life_doubles_the_wait_up_to_a_minute(tmp_path: Path) -> None:
    runtime, waits = FakeRuntime(), list[float]()
    async with a_keeper(tmp_path, runtime) as keeper:
        for _ in range(8):
            await one_life(keeper, runtime, KILLED)
            assert not keeper.may_start()
            waits.append(keeper.not_before - trio.current_time())
            await trio.sleep(waits[-1])
            assert keeper.may_start()
    assert waits == pytest.approx([1, 2, 4, 8, 16, 32, MAX_BACKOFF_S, MAX_BACKOFF_S])


async def test_a_useful_life_ends_the_wait(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    async with a_keeper(tmp_path, runtime) as keeper:
        await one_life(keeper, runtime, KILLED)
        await trio.sleep(1)
        await one_life(keeper, runtime, KILLED, useful=True)
        assert (keeper.may_start(), keeper.failures) == (True, 0)


async def test_a_runner_that_cannot_be_started_is_a_death_with_its_reason(tmp_path: Path) -> None:
    runtime, bell = FakeRuntime(broken="no engine"), Bell()
    async with a_keeper(tmp_path, runtime) as keeper:
        keeper.start(bell)
        await bell.wait(1)
        assert keeper.death == Death(orderly=False, reason="no engine")
        keeper.settled(useful=False)
        assert (keeper.may_start(), keeper.last_failure) == (False, "no engine")


# -- deaths that were wanted ---------------------------------------------------


@pytest.mark.parametrize(("why", "wanted"), [("idle", True), ("shutdown", True), ("stuck", False)])
async def test_only_an_orderly_stop_costs_no_try(tmp_path: Path, why: str, wanted: bool) -> None:  # noqa: FBT001 -- parametrized
    runtime, bell = FakeRuntime(), Bell()
    async with a_keeper(tmp_path, runtime) as keeper:
        keeper.start(bell)
        runner = await runtime.wait_started(1)
        await wait_all_tasks_blocked()
        keeper.stop(why)  # type: ignore[arg-type]  # parametrized
        assert runner.asked
        await bell.wait(1)
        assert keeper.asked_to_go() is wanted
        keeper.settled(useful=False)
        assert keeper.may_start() is wanted


@pytest.mark.parametrize(("death", "wanted"), [(LEFT, True), (KILLED, False)])
async def test_a_runner_that_leaves_by_itself_costs_no_try(
    tmp_path: Path,
    death: Death,
    wanted: bool,  # noqa: FBT001 -- parametrized
) -> None:
    runtime, bell = FakeRuntime(), Bell()
    async with a_keeper(tmp_path, runtime) as keeper:
        keeper.start(bell)
        (await runtime.wait_started(1)).die(death)
        await bell.wait(1)
        assert keeper.asked_to_go() is wanted


async def test_a_stop_that_comes_before_the_runner_is_up_is_passed_on(tmp_path: Path) -> None:
    runtime, bell = FakeRuntime(), Bell()
    async with a_keeper(tmp_path, runtime) as keeper:
        keeper.start(bell)
        keeper.stop("shutdown")
        await bell.wait(1)
        assert runtime.runners[0].asked


# -- a runner that hangs -------------------------------------------------------


@define(eq=False)
class Watch:
    """Looks every second at a keeper whose runner does as told."""

    keeper: Keeper
    heartbeat: Path
    beats: int = 0

    def beat(self) -> None:
        self.beats += 1
        self.heartbeat.touch()
        os.utime(self.heartbeat, (self.beats, self.beats))

    async def until_stopped(
        self,
        *,
        claims: bool = True,
        tool_timeout_s: float = 0.0,
        limit_s: int = 400,
        each: Callable[[], None],
    ) -> float:
        """Seconds until the keeper stops the runner."""
        start = trio.current_time()
        for _ in range(limit_s):
            self.keeper.watch(claims=claims, tool_timeout_s=tool_timeout_s)
            if self.keeper.stopping:
                break
            await trio.sleep(1)
            each()
        return trio.current_time() - start


@asynccontextmanager
async def watching(home: Path) -> AsyncIterator[Watch]:
    runtime = FakeRuntime()
    async with a_keeper(home, runtime) as keeper:
        keeper.start(Bell())
        await runtime.wait_started(1)
        yield Watch(keeper, home / ".heartbeat")


def nothing() -> None:
    """The heartbeat stands still."""


async def test_a_claim_without_a_heartbeat_is_stopped_after_a_minute(tmp_path: Path) -> None:
    async with watching(tmp_path) as watch:
        assert STUCK_S < await watch.until_stopped(each=nothing) <= STUCK_S + 2


async def test_without_a_claim_nobody_is_stopped(tmp_path: Path) -> None:
    async with watching(tmp_path) as watch:
        assert await watch.until_stopped(claims=False, each=nothing) == pytest.approx(400)


async def test_a_heartbeat_that_moves_keeps_a_runner_alive(tmp_path: Path) -> None:
    async with watching(tmp_path) as watch:
        assert await watch.until_stopped(each=watch.beat) == pytest.approx(400)
        assert STUCK_S < await watch.until_stopped(each=nothing) <= STUCK_S + 2


async def test_a_tool_may_take_as_long_as_it_declares(tmp_path: Path) -> None:
    async with watching(tmp_path) as watch:
        assert 300 < await watch.until_stopped(tool_timeout_s=300, each=nothing) <= 302


async def test_a_heartbeat_of_an_earlier_runner_counts_for_nothing(tmp_path: Path) -> None:
    async with watching(tmp_path) as watch:
        watch.beat()
        os.utime(watch.heartbeat, (1e10, 1e10))  # in the far future: only that it moves counts
        assert await watch.until_stopped(each=nothing) <= STUCK_S + 3


# -- recovery ------------------------------------------------------------------


async def test_recovery_runs_the_runner_once_and_leaves_a_death_to_settle(tmp_path: Path) -> None:
    runtime, bell = FakeRuntime(), Bell()
    async with a_keeper(tmp_path, runtime) as keeper:
        keeper.recover(bell)
        assert keeper.state == "recovering"
        await bell.wait(1)
        assert (keeper.state, runtime.recovered) == ("dead", 1)
        keeper.settled(useful=False)
        assert keeper.may_start()
