"""Sandboxes of bubblewrap that end by force: nothing of them is left, and the reason is told."""
# Probes run inside: they import what they need by themselves.
# ruff: noqa: PLC0415

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import evolve

from nanoclaw.runtimes import Death
from nanoclaw.runtimes.bubblewrap import BubblewrapRuntime
from nanoclaw.runtimes.bubblewrap.sandboxed import SandboxProcess
from nanoclaw.runtimes.child import ProcessRunner
from nanoclaw.testing.conformance import make_session
from nanoclaw.testing.conformance.sessions import lives, until_answered, until_it_lives
from tests.host.homes import GUARD_S
from tests.sandbox.needed import need_bubblewrap
from tests.sandbox.probe import program
from tests.sandbox.seen import below, runner_of, runs

pytestmark = pytest.mark.slow

Sandboxed = ProcessRunner[SandboxProcess]
CHILDREN = 30


def breed(count: int) -> Any:
    """Start children with sessions of their own, which ignore signals, and tell when they live."""
    import os
    import signal
    import time

    for _ in range(count):
        if os.fork() == 0:
            os.setsid()
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(600)
            os._exit(0)
    os.open("/workspace/ready", os.O_WRONLY)  # the test opens the other end
    time.sleep(600)


async def death_by(home: Path, end: Callable[[Sandboxed], None]) -> Death:
    """Run a program with children, end it, and return its death. None of its processes may be left."""
    need_bubblewrap()
    deaths = list[Death]()
    session = await make_session(home)
    spec = evolve(session, command=program(breed, CHILDREN))
    ready = spec.paths.outbound_dir / "ready"
    os.mkfifo(ready)
    ready.chmod(0o666)

    async def live(*, task_status: trio.TaskStatus[Sandboxed]) -> None:
        deaths.append(await BubblewrapRuntime(grace_s=0.2).run(spec, task_status=task_status))  # type: ignore[arg-type] # this runtime's runners are of this class

    with trio.fail_after(GUARD_S):
        async with trio.open_nursery() as nursery:
            runner = await nursery.start(live)
            os.close(await trio.to_thread.run_sync(os.open, ready, os.O_RDONLY))
            processes = below(runner.process.pid)
            assert len(processes) > CHILDREN
            end(runner)
    assert [pid for pid in processes if runs(pid)] == []
    return deaths[0]


def kill_outer(runner: Sandboxed) -> None:
    os.kill(runner.process.pid, signal.SIGKILL)


def kill_first(runner: Sandboxed) -> None:
    assert runner.process.first is not None
    os.kill(runner.process.first, signal.SIGKILL)


def kill_runner(runner: Sandboxed) -> None:
    os.kill(runner_of(runner), signal.SIGKILL)


@pytest.mark.parametrize("end", [kill_outer, kill_first, kill_runner])
async def test_a_killed_sandbox_leaves_nothing(tmp_path: Path, end: Callable[[Sandboxed], None]) -> None:
    death = await death_by(tmp_path, end)
    assert (death.orderly, death.reason) == (False, "the runner was killed by SIGKILL")


async def test_a_stopped_sandbox_leaves_nothing(tmp_path: Path) -> None:
    assert not (await death_by(tmp_path, lambda runner: runner.stop())).orderly


async def test_a_status_of_the_runner_is_told(tmp_path: Path) -> None:
    def probe() -> Any:
        raise SystemExit(3)

    need_bubblewrap()
    spec = evolve(await make_session(tmp_path), command=program(probe))
    assert (await BubblewrapRuntime().run(spec)).reason == "the runner ended with status 3"


async def test_nothing_survives_a_killed_host(tmp_path: Path) -> None:
    need_bubblewrap()
    spec = await make_session(tmp_path)
    host = subprocess.Popen(  # noqa: ASYNC220 -- it starts at once
        [sys.executable, "-m", "tests.sandbox.lonely_host", str(tmp_path)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    with trio.fail_after(GUARD_S):
        await until_it_lives(spec.paths)
        processes = [os.pidfd_open(pid) for pid in below(host.pid)[1:]]
        assert len(processes) >= 3
        host.kill()
        for process in processes:
            await trio.lowlevel.wait_readable(process)
            os.close(process)
    host.communicate()
    assert not lives(spec.paths)


async def test_a_sandbox_does_not_end_with_a_worker_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--die-with-parent` means the thread that started it. Those of trio end when they are idle."""
    need_bubblewrap()
    monkeypatch.setattr("trio._core._thread_cache.IDLE_TIMEOUT", 0.001)
    spec = await make_session(tmp_path)
    with trio.fail_after(GUARD_S):
        async with trio.open_nursery() as nursery:
            runner = await nursery.start(BubblewrapRuntime().run, spec)
            await until_answered(spec.paths)
            runner.stop()
