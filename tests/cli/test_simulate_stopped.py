"""`nanoclaw simulate` that is stopped: at once, with what was played so far, and no process stays behind.

`communicate` returns when nobody has our pipes open any more: a process that stays behind would keep it.
"""

import fcntl
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.cli.broken_product import HANGS
from tests.cli.commands import GUARD_S, environment

LAST = "nanoclaw: stopped by {by}: {played} of {all} seeds played, 0 violations"


@contextmanager
def playing(*arguments: str, stdout: int = subprocess.PIPE, **bug: str) -> Iterator[subprocess.Popen[str]]:
    """Start a simulation that may contain a bug."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.cli.broken_product", "--days", "0.02", "--faults", "none", *arguments],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=environment(**({"BUG": "hangs", "AT_SEED": "none"} | bug)),
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(process: subprocess.Popen[str], *words: str) -> str:
    """Wait until stderr contains all of these texts; return its contents."""
    assert process.stderr is not None
    said = ""
    while not all(word in said for word in words):
        line = process.stderr.readline()
        assert line, said
        said += line
    return said


@contextmanager
def hanging(*arguments: str, others: bool = True) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A simulation one of whose processes hangs, and the others have played what there was."""
    with playing(*arguments, AT_SEED="1") as process:
        yield process, wait_for(process, HANGS, *(["2 of 3"] if others else []))


def ended(process: subprocess.Popen[str]) -> tuple[int, str, list[str]]:
    output, errors = process.communicate(timeout=GUARD_S)
    assert "Traceback" not in errors
    return process.returncode, output, errors.splitlines()


def test_an_interrupt_at_the_terminal_prints_progress_and_leaves_no_process_behind() -> None:
    with hanging("--seeds", "3", "--jobs", "2") as (process, _):
        os.killpg(process.pid, signal.SIGINT)
        os.killpg(process.pid, signal.SIGINT)
        code, output, errors = ended(process)
    assert (code, output) == (130, "")
    assert errors == [LAST.format(by="SIGINT", played=2, all=3)]


def test_sigterm_stops_it_too_and_json_contains_the_finished_workloads() -> None:
    with hanging("--seeds", "3", "--jobs", "2", "--json") as (process, _):
        process.send_signal(signal.SIGTERM)
        code, output, errors = ended(process)
    assert code == 143
    assert errors == [LAST.format(by="SIGTERM", played=2, all=3)]
    found = json.loads(output)
    assert (found["played"], found["stopped"], found["violations"]) == (2, "SIGTERM", [])


@pytest.mark.parametrize("drawn", [False, True])
def test_a_single_workload_is_stopped_equally_fast(tmp_path: Path, *, drawn: bool) -> None:
    drawing = ("--timeline", str(tmp_path / "day.html")) if drawn else ()
    with hanging("--seed", "1", "--jobs", "1", *drawing, others=False) as (process, _):
        os.killpg(process.pid, signal.SIGINT)
        code, output, errors = ended(process)
    assert (code, output, errors) == (130, "", [LAST.format(by="SIGINT", played=0, all=1)])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(fcntl, "F_SETPIPE_SZ"), reason="pipes have another size there")
def test_a_full_pipe_does_not_keep_it_from_stopping(tmp_path: Path) -> None:
    fifo = tmp_path / "day.html"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
    with playing("--seed", "1", "--timeline", str(fifo)) as process:
        assert select.select([reader], [], [], GUARD_S)[0]  # it writes, more than there is planned for
        process.terminate()
        code, output, errors = ended(process)
    os.close(reader)
    assert (code, output, errors) == (143, "", [LAST.format(by="SIGTERM", played=1, all=1)])


def test_an_unread_output_does_not_keep_it_from_stopping() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b" " * 1024)
    os.set_blocking(writer, True)
    with playing("--seeds", "2", stdout=writer) as process:
        wait_for(process, "2 of 2 seeds")
        process.terminate()
        code, _, errors = ended(process)
    os.close(reader)
    os.close(writer)
    assert (code, errors) == (143, [LAST.format(by="SIGTERM", played=2, all=2)])


def test_worker_processes_die_with_their_parent() -> None:
    with hanging("--seeds", "3", "--jobs", "2") as (process, _):
        process.kill()
        assert ended(process) == (-signal.SIGKILL, "", [])
