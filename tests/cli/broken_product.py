"""`nanoclaw simulate` with a bug in the product, in each of its processes: all of them run this module.

The environment says which BUG, with AT_SEED that only one workload has it, and with ONCE, which names a file
that is made then, that it strikes once.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import trio

from nanoclaw.cli import main
from nanoclaw.dispatch import Dispatcher
from nanoclaw.simulation import campaign
from nanoclaw.simulation.run import RunResult, run_workload
from nanoclaw.simulation.workload import Workload
from nanoclaw.store import deliveries, messages_in
from nanoclaw.testing.world import standstill

HANGS = "it hangs"


def _dies(*_: object) -> None:
    os._exit(3)


def _killed(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _hangs(*_: object) -> None:
    sys.stderr.write(f"{HANGS}\n")
    sys.stderr.flush()
    while True:
        pass


async def _spins(*_: object) -> None:
    while True:
        await trio.lowlevel.checkpoint()


BUGS: dict[str, tuple[object, str, Callable[..., object]]] = {
    "dies": (messages_in, "insert", _dies),
    "killed": (messages_in, "insert", _killed),
    "hangs": (messages_in, "insert", _hangs),
    "spins": (Dispatcher, "attempt", _spins),
    "unrecorded": (deliveries, "begin", lambda *_: None),
}


def _played(workload: Workload) -> RunResult:
    if os.environ.get("AT_SEED", str(workload.seed)) != str(workload.seed):
        return run_workload(workload)
    if "ONCE" in os.environ:
        once = Path(os.environ["ONCE"])
        if once.exists():
            return run_workload(workload)
        once.touch()
    owner, name, bug = BUGS[os.environ["BUG"]]
    with patch.object(owner, name, bug):
        return run_workload(workload)


if __name__ in {"__main__", "__mp_main__"}:  # not where a test imports a name
    setattr(campaign, "run_workload", _played)  # noqa: B010 -- plants a bug past the type checkers
    standstill.ROUNDS = 20_000

if __name__ == "__main__":
    sys.exit(main(["simulate", *sys.argv[1:]]))
