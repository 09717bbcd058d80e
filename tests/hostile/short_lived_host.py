"""A host with a hostile agent under bubblewrap: `python -m tests.hostile.short_lived_host HOME`.

It runs until it is killed.
"""

import sys
from pathlib import Path

import trio
from attrs import evolve

from nanoclaw.runtimes.bubblewrap import BubblewrapRuntime
from nanoclaw.runtimes.bubblewrap.layout import interpreter
from nanoclaw.testing.conformance import make_session
from tests.hostile.stage import TROUBLES


async def main(home: Path) -> None:
    spec = await make_session(home)
    (spec.workspace / TROUBLES.name).write_bytes(TROUBLES.read_bytes())
    command = (interpreter(), "-I", f"/workspace/agent/{TROUBLES.name}", "outlive")
    await BubblewrapRuntime().run(evolve(spec, command=command))


if __name__ == "__main__":
    trio.run(main, Path(sys.argv[1]))
