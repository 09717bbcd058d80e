"""A runner that kills itself at a commit, once: `killing_runner.py MARK KILL [recover]`.

KILL is `before:N` or `after:N`, counting commits, or `hot:N`: when the N-th journal is about to be removed,
so that it stays behind, hot. MARK is a file that says that it happened; from then on this is our runner.
With `turn` it dies in every turn.
"""

import os
import signal
import sys
from pathlib import Path

import apsw

from agent_runner import main, system
from agent_runner.providers import Toolbox, echo
from agent_runner.records import Result, Turn

MARK, KILL = Path(sys.argv[1]), sys.argv[2]


def die_if(here: str) -> None:
    if here == KILL and not MARK.exists():
        MARK.touch()
        os.kill(os.getpid(), signal.SIGKILL)


class KillingExecutor(system.ThreadExecutor):
    """Kills the process before or after a commit."""

    begun = 0

    def before_commit(self, path: Path) -> None:
        del path
        KillingExecutor.begun += 1
        die_if(f"before:{KillingExecutor.begun}")

    def after_commit(self, path: Path) -> None:
        del path
        die_if(f"after:{KillingExecutor.begun}")


class KillingFiles(apsw.VFS):
    """Kills the process when all is written and only the journal must still be removed."""

    removed = 0

    def __init__(self) -> None:
        super().__init__("killing", base="", makedefault=True)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802, FBT001 -- apsw's
        if filename.endswith("outbound.db-journal"):
            KillingFiles.removed += 1
            die_if(f"hot:{KillingFiles.removed}")
        super().xDelete(filename, syncdir)


class Deadly(echo.Echo):
    """Dies in every turn, if so configured."""

    async def run(self, turn: Turn, tools: Toolbox, /) -> Result:
        if KILL == "turn":
            os.kill(os.getpid(), signal.SIGKILL)
        return await super().run(turn, tools)


if __name__ == "__main__":
    files = KillingFiles()
    setattr(main, "ThreadExecutor", KillingExecutor)  # noqa: B010 -- what the program binds, for this test
    sys.exit(main.main(sys.argv[3:], {"echo": Deadly}))
