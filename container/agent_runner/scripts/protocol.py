"""The seam that runs the scripts of tasks, and the verdict in a script's output (contract 5, Scripts).

`agent_runner.scripts.processes` has the real one.
"""

import json
from pathlib import Path
from typing import Protocol

import trio
from attrs import frozen

LIMIT_S = 30.0
"""Seconds after which a script is killed."""
LARGEST_OUTPUT = 65_536
"""Bytes of output that count, from its end."""
NO_VERDICT = 'the last line of the output must be JSON such as {"wakeAgent": true, "data": …}'


@frozen
class Ended:
    """A script that ended, or was killed. The outputs are bounded, from their ends."""

    stdout: str
    stderr: str = ""
    problem: str | None = None
    """The reason why its output does not count, such as its exit code."""


class Scripts(Protocol):
    """Runs the scripts of tasks."""

    async def run(self, script: str, workspace: Path, /) -> Ended:
        """Run a script in the workspace. When this returns or is cancelled, none of its processes is left."""
        ...


class NoScripts:
    """Runs no scripts, such as in a simulation."""

    async def run(self, _script: str, _workspace: Path, /) -> Ended:
        """Refuse."""
        await trio.lowlevel.checkpoint()
        return Ended("", problem="this runner runs no scripts")


@frozen
class Verdict:
    """The decision of a script. `output` is the task's `scriptOutput`."""

    wakes: bool
    output: object


def read_verdict(ended: Ended) -> Verdict:
    """Read the last line of a script's output. Whatever is wrong wakes the agent with the reason."""
    if ended.problem is not None:
        return _failed(ended.problem, ended)
    lines = ended.stdout.strip().splitlines()
    try:
        verdict: object = json.loads(lines[-1]) if lines else None
    except (ValueError, RecursionError):
        verdict = None
    match verdict:
        case {"wakeAgent": bool(wakes), **others}:
            return Verdict(wakes, others.get("data"))
        case _:
            return _failed(NO_VERDICT, ended)


def _failed(reason: str, ended: Ended) -> Verdict:
    outputs = {"stdout": ended.stdout, "stderr": ended.stderr}
    return Verdict(
        wakes=True, output={"error": reason, **{key: text for key, text in outputs.items() if text}}
    )
