"""An executor that kills its process at a commit."""

import os
import signal
import threading
from pathlib import Path

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
