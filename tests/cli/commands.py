"""`nanoclaw` with piped input and output: as a separate process, or within this one."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, redirect_stderr, redirect_stdout
from io import BytesIO, TextIOWrapper
from pathlib import Path
from secrets import SystemRandom
from sqlite3 import connect
from typing import Any
from unittest.mock import patch

import trio
from attrs import frozen

from nanoclaw.cli import main
from nanoclaw.cli.first_run import prepare_home
from nanoclaw.config import load_config
from nanoclaw.store import ThreadExecutor, own_central
from nanoclaw.system.clock import SystemClock

NANOCLAW = (sys.executable, "-m", "nanoclaw")
GUARD_S = 60
"""An upper bound on a hang; nothing waits for it."""


@frozen
class Result:
    """The result of a run."""

    code: int
    output: str
    stderr: str

    @property
    def errors(self) -> list[str]:
        """What it says to people; everything else on stderr has to be JSON."""
        lines = self.stderr.splitlines()
        return [line.removeprefix("nanoclaw: ") for line in lines if not line.startswith("{")]

    @property
    def logs(self) -> list[dict[str, Any]]:
        """What it says to machines."""
        return [json.loads(line) for line in self.stderr.splitlines() if line.startswith("{")]

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Return the log lines of one event."""
        return [log for log in self.logs if log["event"] == event]


def environment(**more: str) -> Mapping[str, str]:
    """Return the tests' environment, without the settings of the user who runs them.

    The runtime is fixed, because a first run would choose it by what this machine has.
    """
    own = {name: value for name, value in os.environ.items() if not name.startswith("NANOCLAW_")}
    return {**own, "TZ": "UTC", "NANOCLAW_SANDBOX_RUNTIME": "process", **more}


def chosen(home: Path) -> Mapping[str, str]:
    """Return a variable that chooses the provider of a new home, which else would be asked for."""
    return {} if (home / "config.toml").exists() else {"NANOCLAW_MODEL_PROVIDER": "echo"}


def logging(home: Path, more: Mapping[str, str]) -> Mapping[str, str]:
    """Return the environment of a host whose log tells tests what has happened."""
    return environment(**{"NANOCLAW_LOG_LEVEL": "info", **chosen(home), **more})


def run(
    home: Path,
    text: str | bytes = b"",
    *arguments: str,
    before: Sequence[str] = (),
    **variables: str,
) -> Result:
    """Run to the end of the input; `before` is a program that runs it."""
    done = subprocess.run(  # noqa: UP022 -- both, apart
        [*before, *NANOCLAW, "run", "--home", str(home), *arguments],
        input=text.encode() if isinstance(text, str) else text,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=logging(home, variables),
        timeout=GUARD_S,
        check=False,
    )
    return _result(done.returncode, done.stdout, done.stderr)


def call(*words: str, text: str = "", **variables: str) -> Result:
    """Call a command that is not `run` within this process, which saves the half second of a start."""
    written = BytesIO(), BytesIO()
    stdout, stderr = (TextIOWrapper(each, "utf-8", write_through=True) for each in written)
    with (
        patch.dict(os.environ, environment(**variables), clear=True),
        patch("sys.stdin", TextIOWrapper(BytesIO(text.encode()), "utf-8")),
        redirect_stdout(stdout),
        redirect_stderr(stderr),
    ):
        try:
            code = main(words)
        except SystemExit as end:
            code = int(str(end.code))
    return _result(code, *(each.getvalue() for each in written))


def run_until(event: str, home: Path, text: str, *arguments: str, **variables: str) -> Result:
    """Run with the input left open, until the log tells of an event; then stop it in order."""
    with running(home, *arguments, **variables) as host:
        assert host.stdin is not None
        assert host.stderr is not None
        host.stdin.write(text.encode())
        host.stdin.flush()
        seen = b""
        while f'"event": "{event}"'.encode() not in seen:
            line = host.stderr.readline()
            assert line, seen.decode()
            seen += line
        host.send_signal(signal.SIGTERM)
        output, rest = host.communicate(timeout=GUARD_S)
        return _result(host.returncode, output, seen + rest)


def begun(home: Path) -> Path:
    """Make a home with an empty database, as a first run does without its first agent. Return it."""
    config = load_config(home=home)
    prepare_home(config, write_config=True)

    async def own() -> None:
        async with own_central(
            config.data, executor=ThreadExecutor(), clock=SystemClock(), random=SystemRandom()
        ):
            pass

    trio.run(own)
    return home


@contextmanager
def running(home: Path, *arguments: str, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """A host whose input stays open; killed at the end, if it still runs."""
    with subprocess.Popen(
        [*NANOCLAW, "run", "--home", str(home), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=logging(home, variables),
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_ready(host: subprocess.Popen[bytes]) -> None:
    """Return once the host accepts signals and messages."""
    assert host.stderr is not None
    next(line for line in host.stderr if b"host.ready" in line)


def _result(code: int, output: bytes, stderr: bytes) -> Result:
    result = Result(code, output.decode(), stderr.decode())
    assert "Traceback" not in result.stderr
    return result


def rows(database: Path, sql: str) -> list[tuple[Any, ...]]:
    """Read rows of a database that no process writes."""
    with closing(connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return connection.execute(sql).fetchall()


def change(database: Path, sql: str) -> None:
    """Change a database that no process has open."""
    with closing(connect(database)) as connection:
        connection.executescript(sql)
