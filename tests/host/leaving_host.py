"""A host whose runner starts children: `python -m tests.host.leaving_host HOME FIFO THEN`."""

import sys
from pathlib import Path

import trio

from nanoclaw.records import SessionPaths
from nanoclaw.runtimes import RunnerSpec
from nanoclaw.runtimes.process import ProcessRuntime

SCRIPT = Path(__file__).with_name("leaving_runner.py")

if __name__ == "__main__":
    home = Path(sys.argv[1])
    runtime = ProcessRuntime(grace_s=0.2, command=(sys.executable, "-S", str(SCRIPT), *sys.argv[2:]))
    trio.run(runtime.run, RunnerSpec("sess-1", SessionPaths(home), home, "echo", {}))
