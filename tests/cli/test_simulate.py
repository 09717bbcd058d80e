"""`nanoclaw simulate`, as users and CI run it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nanoclaw.cli import main
from tests.cli.commands import GUARD_S, NANOCLAW, environment

FULL = Path("/dev/full")


def simulate(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*NANOCLAW, "simulate", *arguments],
        capture_output=True,
        text=True,
        timeout=GUARD_S,
        check=False,
        env={**os.environ, **environment},
    )


def test_workloads_run_in_processes_and_are_summarised_in_a_table() -> None:
    done = simulate("--seeds", "3", "--days", "0.01", "--jobs", "2")
    assert done.returncode == 0, done.stderr
    rows = dict(line.rsplit(maxsplit=1) for line in done.stdout.splitlines()[1:])
    assert (rows["seeds"], rows["violations"]) == ("3", "0")
    assert int(rows["faults"]) == sum(int(n) for name, n in rows.items() if name.startswith("  "))
    assert len({len(line) for line in done.stdout.splitlines()[1:]}) == 1
    assert done.stderr.splitlines()[-1] == "3 of 3 seeds, 0 violations"


def test_the_result_can_be_printed_as_json() -> None:
    done = simulate("--seed", "7", "--days", "0.01", "--faults", "kill-host,zones", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["seeds"], found["violations"], found["shortest"]) == ([7], [], None)
    assert set(found["faults"]) <= {"kill-host"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--faults", "fire"), "unknown fault 'fire'"),
        (("--faults", "zones@commit:3"), "zones is a setting"),
        (("--faults", ""), "for a run without faults use none"),
        (("--faults", "kill-host@time:90000"), "the day ends at 21600 s"),
        (
            ("--faults", f"kill-host@commit:{'9' * 5000}"),
            "a commit must be a number from 1, of at most 12 digits",
        ),
        (("--seeds", "0"), "a number of at least 1"),
        (("--seeds", "1" * 12), "at most 1,000,000"),
        (("--seeds", "many"), "'many'"),
        (("--days", "-1"), "more than 0"),
        (("--days", "nan"), "more than 0"),
        (("--timeline", "x.html"), "--timeline draws one workload"),
        (("--timeline", "/nowhere/x.html", "--seed", "1", "--days", "300"), "cannot be written"),
    ],
)
def test_impossible_arguments_are_refused_with_the_reason(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    try:
        code = main(["simulate", *arguments])
    except SystemExit as error:  # argparse's way
        code = int(str(error.code))
    assert code == 2
    assert words in capsys.readouterr().err


def broken(bug: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.cli.broken_product", *arguments]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=GUARD_S,
        check=False,
        env=environment(BUG=bug, **variables),
    )
    assert "Traceback" not in done.stderr
    return done


def test_a_violation_is_reported_with_its_seed_shortest_beginning_and_timeline() -> None:
    done = broken("unrecorded", "--seeds", "2", "--days", "0.0412345678", "--faults", "none", "--jobs", "1")
    assert done.returncode == 1
    assert "seed 0: " in done.stdout
    assert "The shortest beginning of seed 0 that fails: 1 steps" in done.stdout
    assert "violation  channels_are_asked_after_the_ledger" in done.stdout
    again = "nanoclaw simulate --seed 0 --days 0.0412345678 --sessions 5 --faults none --timeline seed-0.html"
    assert again in done.stdout


def test_a_process_that_dies_is_a_violation_of_its_seed_and_the_others_continue() -> None:
    arguments = ("--seeds", "3", "--days", "0.01", "--faults", "none", "--jobs", "2", "--json")
    done = broken("dies", *arguments, AT_SEED="1")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    [violation] = found["violations"]
    assert (found["played"], violation["seed"], violation["invariant"]) == (3, 1, "nothing_breaks")
    assert violation["sentence"] == "the process died (exit code 3)"
    assert found["shortest"]["steps"] == 1


def test_a_process_killed_from_outside_is_reported_as_such(tmp_path: Path) -> None:
    arguments = ("--seeds", "2", "--days", "0.02", "--faults", "none", "--jobs", "1")
    done = broken("killed", *arguments, ONCE=str(tmp_path / "once"))
    assert done.returncode == 1
    assert "nothing_breaks: the process was killed from outside (SIGKILL)" in done.stdout
    last = done.stdout.splitlines()[-1]
    assert last.startswith("It did not fail when it was played again: nothing is wrong with seed 0.")


@pytest.mark.skipif(not FULL.exists(), reason="the system has no such device")
def test_an_output_that_cannot_be_written_is_not_a_violation() -> None:
    with FULL.open("w") as full:
        done = subprocess.run(
            [*NANOCLAW, "simulate", "--days", "0.01", "--seed", "1"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=GUARD_S,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr == "nanoclaw: standard output cannot be written: No space left on device\n"


def test_a_missing_standard_output_is_reported_like_an_unwritable_one() -> None:
    command = ["sh", "-c", '"$@" >&-', "sh", *NANOCLAW, "simulate", "--seed", "1", "--days", "0.01"]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=GUARD_S, check=False)
    assert done.returncode == 2
    assert done.stderr == "nanoclaw: standard output cannot be written: it is closed\n"


@pytest.mark.skipif(not FULL.exists(), reason="the system has no such device")
def test_an_error_while_printing_progress_is_ignored() -> None:
    with FULL.open("w") as full:
        done = subprocess.run(
            [*NANOCLAW, "simulate", "--days", "0.01", "--seeds", "2", "--jobs", "1"],
            stdout=subprocess.PIPE,
            stderr=full,
            text=True,
            timeout=GUARD_S,
            check=False,
        )
    assert (done.returncode, done.stdout.splitlines()[-1].split()) == (0, ["violations", "0"])


def test_a_loop_without_waiting_is_a_violation_of_its_seed() -> None:
    done = broken("spins", "--seed", "0", "--days", "0.02", "--faults", "none")
    assert done.returncode == 1
    assert "nothing_breaks: Standstill(" in done.stdout
    assert "at __mp_main__:" in done.stdout  # the module of the bug


def test_other_commands_do_not_load_the_simulation() -> None:
    code = "import sys, nanoclaw.cli.command; print('nanoclaw.testing' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
