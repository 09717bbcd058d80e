"""`nanoclaw simulate` with a bug in the product, in each of its processes: all of them run this module.

The environment says which BUG, with AT_SEED that only one household has it, and with ONCE, which names a file
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
from nanoclaw.store import deliveries, messages_in
from nanoclaw.testing import campaign, standstill
from nanoclaw.testing.household import Household
from nanoclaw.testing.play import Outcome, play

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


def _played(household: Household) -> Outcome:
    if os.environ.get("AT_SEED", str(household.seed)) != str(household.seed):
        return play(household)
    if "ONCE" in os.environ:
        once = Path(os.environ["ONCE"])
        if once.exists():
            return play(household)
        once.touch()
    owner, name, bug = BUGS[os.environ["BUG"]]
    with patch.object(owner, name, bug):
        return play(household)


if __name__ in {"__main__", "__mp_main__"}:  # not where a test imports a name
    setattr(campaign, "play", _played)  # noqa: B010 -- a bug is put in; type checkers are right to mind
    standstill.ROUNDS = 20_000

if __name__ == "__main__":
    sys.exit(main(["simulate", *sys.argv[1:]]))
