"""A program that runs the session of `make_session(home)` under bubblewrap until it is killed."""

import sys
from pathlib import Path

import trio

from nanoclaw.records import SessionPaths
from nanoclaw.runtimes import RunnerSpec
from nanoclaw.runtimes.bubblewrap import BubblewrapRuntime


async def main(home: Path) -> None:
    paths = SessionPaths.of(home / "data", "ag-1", "sess-1")
    spec = RunnerSpec(
        "sess-1", paths, home / "groups" / "main" / "workspace", "echo", {"AGENT_PROVIDER": "echo"}
    )
    await BubblewrapRuntime().run(spec)


if __name__ == "__main__":
    trio.run(main, Path(sys.argv[1]))
