"""An executor and a file system that kill their process at a commit."""

import os
import signal
import threading
from itertools import count
from pathlib import Path

import apsw
import trio

from nanoclaw.store import ThreadExecutor


class KillingExecutor(ThreadExecutor):
    """Counts commits, and kills the process at one: `before:N`, `after:N`, or `never`."""

    def __init__(self, kill: str) -> None:
        super().__init__()
        self._kill = kill
        self._counting = threading.Lock()
        self.begun = 0
        self.committed = trio.Event()
        """Of the next commit."""
        self._token = trio.lowlevel.current_trio_token()

    def before_commit(self, path: Path) -> None:
        del path
        with self._counting:
            self.begun += 1
            self._die_if(f"before:{self.begun}")

    def after_commit(self, path: Path) -> None:
        del path
        self._die_if(f"after:{self.begun}")
        self._token.run_sync_soon(self._tell)

    def _die_if(self, here: str) -> None:
        if here == self._kill:
            os.kill(os.getpid(), signal.SIGKILL)

    def _tell(self) -> None:
        self.committed.set()
        self.committed = trio.Event()


class KillingFiles(apsw.VFS):
    """Kills the process when the n-th commit to an `inbound.db` is written but for its journal's removal.

    The journal stays behind, hot. It is SQLite's default from then on.
    """

    def __init__(self, n: float) -> None:
        super().__init__("killing", base="", makedefault=True)
        self._n = n
        self._removals = count(1)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802, FBT001 -- apsw's
        if filename.endswith("inbound.db-journal") and next(self._removals) == self._n:
            os.kill(os.getpid(), signal.SIGKILL)
        super().xDelete(filename, syncdir)
