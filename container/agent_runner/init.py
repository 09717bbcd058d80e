"""The first process of a container: starts the runner as its child, and ends it when the host is gone.

It reaps orphans, passes signals on, and ends with the runner's exit code. The kernel then ends everything
else in the container. The agent cannot stop it: nobody in a container can kill its first process.

The lifeline is a file of the host, on a read-only mount. The host changes its modification time while it
lives, and removes it to end the runner. This imports little, because each runner waits for its start.
"""

import os
import signal
import sys
from collections.abc import Mapping
from time import monotonic
from typing import NoReturn

PR_SET_DUMPABLE = 4
LIFELINE, LIFELINE_S = "NANOCLAW_LIFELINE", "NANOCLAW_LIFELINE_S"
DEFAULT_S = 600.0
LOOK_S = 1.0
"""Interval at which the lifeline is read."""
GRACE_S = 10.0
"""Seconds that the runner has after SIGTERM, if nobody outside kills it earlier."""
PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
WAITED_FOR = {signal.SIGCHLD, *PASSED_ON}


def fork_below_init(environ: Mapping[str, str]) -> None:
    """Fork if this is a container's first process, or has a file as its lifeline. Return in the child.

    The parent does not return.
    """
    path = environ.get(LIFELINE, "")
    if os.getpid() != 1 and not path.startswith("/"):
        return
    # The kernel gives the first process only signals that it blocks or handles.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, WAITED_FOR)
    child = os.fork()
    if child:
        _supervise(child, Lifeline(path, _seconds(environ)) if path.startswith("/") else None)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _seconds(environ: Mapping[str, str]) -> float:
    try:
        return float(environ.get(LIFELINE_S, DEFAULT_S))
    except ValueError:
        return DEFAULT_S


class Lifeline:
    """A file whose modification time changes while the host lives. Only changes count: clocks jump."""

    def __init__(self, path: str, longest_s: float) -> None:
        self.path, self.longest_s = path, longest_s
        self.seen, self.changed_at = self._look(), monotonic()

    def has_ended(self) -> bool:
        """Return True if the file is gone, or has not changed for too long."""
        found = self._look()
        if found != self.seen:
            self.seen, self.changed_at = found, monotonic()
        return found is None or monotonic() - self.changed_at > self.longest_s

    def _look(self) -> int | None:
        try:
            return os.stat(self.path).st_mtime_ns  # noqa: PTH116 -- pathlib would take 10 ms to import
        except OSError:
            return None


def _supervise(child: int, lifeline: Lifeline | None) -> NoReturn:
    """Wait for the runner's end, and end with its exit code."""
    _close_memory()
    kill_at: float | None = None
    while (status := _reaped(child)) is None:
        happened = signal.sigtimedwait(WAITED_FOR, LOOK_S)
        if happened is not None and happened.si_signo in PASSED_ON:
            os.kill(child, happened.si_signo)
        if kill_at is None and lifeline is not None and lifeline.has_ended():
            kill_at = monotonic() + GRACE_S
            os.kill(child, signal.SIGTERM)
        if kill_at is not None and monotonic() > kill_at:
            os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(status)
    sys.stderr.flush()
    os._exit(code if code >= 0 else 128 - code)


def _close_memory() -> None:
    """Keep this process's memory from the programs of the agent, which have the same user."""
    import ctypes  # noqa: PLC0415 -- the runner does not need it

    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def _reaped(child: int) -> int | None:
    """Reap all ended processes. Return the status of the runner, if it is among them."""
    found = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        if pid == child:
            found = status
