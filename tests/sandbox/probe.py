"""Programs of a test that run in a sandbox in the place of the runner, and what they find."""

import json
from collections.abc import Callable
from inspect import getsource
from pathlib import Path
from textwrap import dedent
from typing import Any

import trio
from attrs import evolve

from nanoclaw.runtimes import Death, RunnerSpec
from nanoclaw.runtimes.bubblewrap import BubblewrapRuntime
from nanoclaw.runtimes.bubblewrap.layout import interpreter
from nanoclaw.testing.conformance import make_session
from tests.host.homes import GUARD_S
from tests.sandbox.needed import need_bubblewrap

FOUND = "found.json"
Probe = Callable[..., Any]
"""A function that runs inside, on its own: it takes and returns JSON, and imports all but `Path`."""


async def found_inside(home: Path, probe: Probe, *arguments: object, **changes: Any) -> Any:
    """Run a probe in a sandbox, and return what it returns."""
    spec, death = await probed(home, probe, *arguments, **changes)
    assert death.orderly, death
    return json.loads((spec.workspace / FOUND).read_text("utf-8"))


async def probed(
    home: Path, probe: Probe, *arguments: object, runtime: BubblewrapRuntime | None = None, **changes: Any
) -> tuple[RunnerSpec, Death]:
    """Run a probe in a sandbox until its end."""
    need_bubblewrap()
    spec = evolve(await make_session(home), command=program(probe, *arguments), **changes)
    with trio.fail_after(GUARD_S):
        death = await (runtime or BubblewrapRuntime(grace_s=0.5)).run(spec)
    return spec, death


def program(probe: Probe, *arguments: object) -> tuple[str, ...]:
    """Return the command of a program that writes what the probe returns."""
    lines = (
        "from __future__ import annotations",
        "import json, sys",
        "from pathlib import Path",
        dedent(getsource(probe)),
        f"found = {probe.__name__}(*json.loads(sys.argv[1]))",
        f"open('/workspace/agent/{FOUND}', 'w').write(json.dumps(found))",
    )
    return (interpreter(), "-I", "-c", "\n".join(lines), json.dumps(arguments))
