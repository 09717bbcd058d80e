"""Nothing that a runner has started outlives it: children with a session of their own, daemons, deaf ones."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import trio

from nanoclaw.records import SessionPaths
from nanoclaw.runtimes import Runner, RunnerSpec
from nanoclaw.runtimes.child import ProcessRunner
from nanoclaw.runtimes.process import ProcessRuntime
from nanoclaw.runtimes.protocol import Death
from nanoclaw.runtimes.supervised import SupervisedProcess
from tests.host.homes import GUARD_S
from tests.host.leaving_runner import CHILDREN

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only the process group is killed")

SCRIPT = Path(__file__).with_name("leaving_runner.py")
ROOT = Path(__file__).parents[2]


def leaving(fifo: Path, then: str) -> ProcessRuntime:
    return ProcessRuntime(grace_s=0.2, command=(sys.executable, "-S", str(SCRIPT), str(fifo), then))


def spec(home: Path) -> RunnerSpec:
    return RunnerSpec("sess-1", SessionPaths(home), home, "echo", {})


def read_children(fifo: Path) -> int:
    """Return the FIFO once all children have it open, and let the runner go on."""
    held = os.open(fifo, os.O_RDONLY)
    seen = 0
    while seen < CHILDREN:
        seen += len(os.read(held, CHILDREN))
    os.close(os.open(f"{fifo}-seen", os.O_WRONLY))
    return held


def make_fifos(home: Path) -> Path:
    for name in ("fifo", "fifo-seen"):
        os.mkfifo(home / name)
    return home / "fifo"


async def wait_gone(held: int) -> None:
    """Return when the last child has ended."""
    assert await trio.to_thread.run_sync(os.read, held, 1) == b""
    os.close(held)


def init_of(runner: ProcessRunner[SupervisedProcess]) -> int:
    with Path("/proc", str(runner.process.pid), "stat").open() as file:
        return int(file.read().rpartition(")")[2].split()[1])


async def left_behind(
    home: Path, then: str, end: Callable[[ProcessRunner[SupervisedProcess]], None]
) -> Death:
    """Run a runner with children, end it, and return its death once all of them are gone."""
    fifo, deaths = make_fifos(home), list[Death]()

    async def live(*, task_status: trio.TaskStatus[Runner]) -> None:
        deaths.append(await leaving(fifo, then).run(spec(home), task_status=task_status))

    with trio.fail_after(GUARD_S):
        async with trio.open_nursery() as nursery:
            runner = await nursery.start(live)
            held = await trio.to_thread.run_sync(read_children, fifo, abandon_on_cancel=True)
            end(runner)
        await wait_gone(held)
    return deaths[0]


async def test_nothing_outlives_a_stopped_runner(tmp_path: Path) -> None:
    death = await left_behind(tmp_path, "wait", lambda runner: runner.stop())
    assert death.orderly


async def test_nothing_outlives_a_runner_that_ends_by_itself(tmp_path: Path) -> None:
    death = await left_behind(tmp_path, "return", lambda _: None)
    assert death.orderly


async def test_nothing_outlives_a_runner_that_hangs(tmp_path: Path) -> None:
    death = await left_behind(tmp_path, "hang", lambda runner: runner.stop())
    assert death.reason == "the runner was killed by SIGKILL"


async def test_nothing_outlives_a_runner_that_gets_a_signal_to_end(tmp_path: Path) -> None:
    death = await left_behind(tmp_path, "hang", lambda runner: os.kill(init_of(runner), signal.SIGTERM))
    assert death.reason == "the runner was killed by SIGTERM"


async def test_nothing_outlives_a_runner_that_crashes(tmp_path: Path) -> None:
    death = await left_behind(tmp_path, "crash", lambda runner: runner.stop())
    assert death.reason == "the runner was killed by SIGABRT"


async def test_nothing_outlives_a_runner_that_is_killed(tmp_path: Path) -> None:
    death = await left_behind(tmp_path, "wait", lambda runner: runner.process.kill())
    assert death.reason == "the runner was killed by SIGKILL"


async def test_nothing_outlives_an_init_process_that_is_killed(tmp_path: Path) -> None:
    death = await left_behind(
        tmp_path, "wait, its init will die", lambda runner: os.kill(init_of(runner), signal.SIGKILL)
    )
    assert death.reason == "the runner was killed by SIGKILL"


DEAF = (
    "import signal, sys\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "print('here', flush=True)\n"
    "while True: signal.pause()\n"
)


def orphan(session: Path) -> "subprocess.Popen[bytes]":
    """Start what a runner has left whose init process was killed."""
    environment = {"SESSION_OUTBOUND_DB_PATH": str(SessionPaths(session).outbound_db)}
    command = [sys.executable, "-S", "-c", DEAF]
    process = subprocess.Popen(command, env=environment, start_new_session=True, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    return process


async def test_the_next_host_ends_what_a_killed_host_and_its_init_process_have_left(tmp_path: Path) -> None:
    left, foreign = orphan(tmp_path / "sessions/ag-1/sess-1"), orphan(tmp_path / "others/ag-1/sess-1")
    try:
        await ProcessRuntime(sessions=tmp_path / "sessions").survivors()
        assert left.wait(GUARD_S) == -signal.SIGKILL
        assert foreign.poll() is None
    finally:
        for each in (left, foreign):
            each.kill()
            each.communicate()


async def test_the_next_host_spares_a_runner_that_its_init_process_will_end(tmp_path: Path) -> None:
    fifo, deaths = make_fifos(tmp_path), list[Death]()

    async def live(*, task_status: trio.TaskStatus[Runner]) -> None:
        deaths.append(await leaving(fifo, "wait").run(spec(tmp_path), task_status=task_status))

    with trio.fail_after(GUARD_S):
        async with trio.open_nursery() as nursery:
            runner = await nursery.start(live)
            held = await trio.to_thread.run_sync(read_children, fifo, abandon_on_cancel=True)
            await ProcessRuntime(sessions=tmp_path).survivors()
            runner.stop()
        await wait_gone(held)
    assert deaths[0].orderly


@pytest.mark.slow
@pytest.mark.parametrize("then", ["wait", "hang"])
async def test_nothing_outlives_a_host_that_is_killed(tmp_path: Path, then: str) -> None:
    fifo = make_fifos(tmp_path)
    command = [sys.executable, "-m", "tests.host.leaving_host", str(tmp_path), str(fifo), then]
    with trio.fail_after(GUARD_S * 4):
        async with trio.open_nursery() as nursery:
            host = await nursery.start(
                partial(trio.run_process, command, cwd=ROOT, check=False, stdin=subprocess.PIPE)
            )
            held = await trio.to_thread.run_sync(read_children, fifo, abandon_on_cancel=True)
            host.kill()
            await wait_gone(held)
