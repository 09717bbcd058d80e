"""The commands of the README work: each is run as it stands, in a home of its own."""

import os
import re
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.cli.commands import GUARD_S, NANOCLAW, Result, call, environment, running, wait_ready

ROOT = Path(__file__).parents[2]


def commands() -> list[str]:
    """Return the lines of the README's blocks of shell, without their comments."""
    blocks = re.findall(
        r"^```sh$(.*?)^```$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    lines = (line.partition("  #")[0].strip() for block in blocks for line in block.splitlines())
    return [line for line in lines if line]


OURS = [line for line in commands() if line.startswith(".venv/bin/nanoclaw ")]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("readme") / "home"


def test_each_command_works_while_a_host_runs(home: Path) -> None:
    with running(home) as host:
        wait_ready(host)
        for line in OURS:
            words = [word for word in shlex.split(line)[1:] if word != "-f"]  # which follows the log for ever
            asks = words[:2] == ["channels", "add"]  # it asks a person for a token
            done = _run(home, [*words, "--help"] if asks else words)
            assert (line, done.code, done.stderr) == (line, 0, "")
            assert done.output


def _run(home: Path, words: Sequence[str]) -> Result:
    """Run a command, `chat` as a process of its own, because it reads its input."""
    if words[0] != "chat":
        return call(*words, NANOCLAW_HOME=str(home))
    done = subprocess.run(
        [*NANOCLAW, *words],
        capture_output=True,
        text=True,
        env=environment(NANOCLAW_HOME=str(home)),
        timeout=GUARD_S,
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr)


def test_each_line_of_a_pipe_is_a_message(tmp_path: Path) -> None:
    [line] = [line for line in commands() if line.startswith("echo hello | ")]
    line = line.replace("/tmp/nanoclaw-try", str(tmp_path)).replace(".venv/bin/python", NANOCLAW[0])  # noqa: S108 -- the README's
    done = subprocess.run(
        ["/bin/sh", "-c", line], capture_output=True, env=environment(), timeout=GUARD_S, check=True
    )
    assert done.stdout == b"echo: hello\n"


def test_make_run_is_a_target() -> None:
    assert "make run" in commands()
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(["make", "-n", "run"], cwd=ROOT, capture_output=True, env=env, check=True)  # noqa: S607 -- of the system
    assert b"-m nanoclaw run" in done.stdout
