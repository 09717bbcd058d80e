"""The first process of a container: signals, orphans, exit codes, and a lifeline that is a file."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

GUARD_S = 30.0
CONTAINER = Path(__file__).parents[2] / "container"
CHILD = """
import os, signal, sys, time
from agent_runner import init
init.LOOK_S = 0.05
init.GRACE_S = float(os.environ.get("GRACE", 30))
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # it is waited for, whenever it comes
init.fork_below_init(os.environ)
exec(sys.argv[1])
"""


@contextmanager
def started(program: str, lifeline: Path, **environment: str) -> "Iterator[subprocess.Popen[str]]":
    """Yield a first process whose runner is a program. Nothing of both is left at the end."""
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, program],
        env={"PYTHONPATH": str(CONTAINER), "NANOCLAW_LIFELINE": str(lifeline), **environment},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture
def lifeline(tmp_path: Path) -> Path:
    file = tmp_path / "lifeline"
    file.touch()
    return file


@pytest.mark.parametrize(
    ("program", "code"),
    [("exit(0)", 0), ("exit(5)", 5), ("os.kill(os.getpid(), signal.SIGKILL)", 128 + signal.SIGKILL)],
)
def test_it_ends_with_the_code_of_the_runner(lifeline: Path, program: str, code: int) -> None:
    with started(program, lifeline) as process:
        assert process.wait(GUARD_S) == code


def test_it_passes_signals_on(lifeline: Path) -> None:
    program = "print('up', flush=True); signal.sigwait([signal.SIGTERM]); exit(7)"
    with started(program, lifeline) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.terminate()
        assert process.wait(GUARD_S) == 7


def test_a_lifeline_that_is_removed_ends_the_runner_in_order(lifeline: Path) -> None:
    program = "print('up', flush=True); signal.sigwait([signal.SIGTERM])"
    with started(program, lifeline) as process:
        assert process.stdout is not None
        process.stdout.readline()
        lifeline.unlink()
        assert process.wait(GUARD_S) == 0


def test_a_lifeline_that_nobody_touches_ends_the_runner(lifeline: Path) -> None:
    program = "signal.sigwait([signal.SIGTERM])"
    began = time.monotonic()
    with started(program, lifeline, NANOCLAW_LIFELINE_S="0.3") as process:
        assert process.wait(GUARD_S) == 0
    assert time.monotonic() - began > 0.3


def test_a_runner_that_ignores_the_end_of_its_lifeline_is_killed(lifeline: Path) -> None:
    program = "print('up', flush=True); time.sleep(1000)"
    with started(program, lifeline, GRACE="0.2") as process:
        assert process.stdout is not None
        process.stdout.readline()
        lifeline.unlink()
        assert process.wait(GUARD_S) == 128 + signal.SIGKILL


def test_without_a_lifeline_a_process_that_is_not_the_first_stays_alone() -> None:
    before = "import os, sys; from agent_runner import init; pid = os.getpid(); init.fork_below_init({})"
    code = f"{before}; sys.exit(os.getpid() != pid)"
    done = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": str(CONTAINER)}, check=False)
    assert done.returncode == 0
    assert os.getpid() != 1
