"""`nanoclaw simulate` that is stopped: at once, with what was played so far, and no process stays behind.

`communicate` returns when nobody has our pipes open any more: a process that stays behind would keep it.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.broken_product import HANGS
from tests.cli.commands import GUARD_S, environment

LAST = "nanoclaw: stopped by {by}: {played} of {all} seeds played, 0 violations"


@contextmanager
def hanging(*arguments: str, others: bool = True) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A simulation one of whose processes hangs, and the others have played what there was."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.cli.broken_product", "--days", "0.02", "--faults", "none", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=environment(BUG="hangs", AT_SEED="1"),
    ) as process:
        try:
            assert process.stderr is not None
            said = ""
            while HANGS not in said or (others and "2 of 3" not in said):
                line = process.stderr.readline()
                assert line, said
                said += line
            yield process, said
        finally:
            process.kill()


def ended(process: subprocess.Popen[str]) -> tuple[int, str, list[str]]:
    output, errors = process.communicate(timeout=GUARD_S)
    assert "Traceback" not in errors
    return process.returncode, output, errors.splitlines()


def test_an_interrupt_at_the_terminal_tells_how_far_it_came_and_leaves_nobody_behind() -> None:
    with hanging("--seeds", "3", "--jobs", "2") as (process, _):
        os.killpg(process.pid, signal.SIGINT)
        os.killpg(process.pid, signal.SIGINT)
        code, output, errors = ended(process)
    assert (code, output) == (130, "")
    assert errors == [LAST.format(by="SIGINT", played=2, all=3)]


def test_a_signal_to_end_is_as_good_and_programs_get_what_was_played() -> None:
    with hanging("--seeds", "3", "--jobs", "2", "--json") as (process, _):
        process.send_signal(signal.SIGTERM)
        code, output, errors = ended(process)
    assert code == 143
    assert errors == [LAST.format(by="SIGTERM", played=2, all=3)]
    found = json.loads(output)
    assert (found["played"], found["stopped"], found["violations"]) == (2, "SIGTERM", [])


@pytest.mark.parametrize("drawn", [False, True])
def test_a_single_household_is_stopped_as_fast(tmp_path: Path, *, drawn: bool) -> None:
    drawing = ("--timeline", str(tmp_path / "day.html")) if drawn else ()
    with hanging("--seed", "1", "--jobs", "1", *drawing, others=False) as (process, _):
        os.killpg(process.pid, signal.SIGINT)
        code, output, errors = ended(process)
    assert (code, output, errors) == (130, "", [LAST.format(by="SIGINT", played=0, all=1)])
    assert list(tmp_path.iterdir()) == []


def test_processes_die_with_the_one_that_started_them() -> None:
    with hanging("--seeds", "3", "--jobs", "2") as (process, _):
        process.kill()
        assert ended(process) == (-signal.SIGKILL, "", [])
