"""A runner that starts children in every way, and then does what its last argument says.

Each child writes a byte into a FIFO and keeps it open, so a reader sees the end of the last of them.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping

CHILD = (
    "import os, signal, sys\n"
    "for each in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT): signal.signal(each, signal.SIG_IGN)\n"
    "fifo = os.open(sys.argv[1], os.O_WRONLY)\n"
    "os.write(fifo, b'.')\n"
    "while True: signal.pause()\n"
)
CHILDREN = 4


def main(fifo: str, then: str) -> None:
    child = [sys.executable, "-S", "-c", CHILD, fifo]
    subprocess.Popen(child)
    subprocess.Popen(child, start_new_session=True)
    # Only the init process can find a daemon that has not inherited its environment.
    for environment in (os.environ, os.environ if then == "wait, its init will die" else {}):
        _daemonize(child, environment)
    os.close(os.open(f"{fifo}-seen", os.O_RDONLY))  # waits for its writer
    ENDS[then]()


def _daemonize(command: list[str], environment: Mapping[str, str]) -> None:
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execve(command[0], command, environment)  # noqa: S606 -- the child
        os._exit(0)
    os.wait()


def _wait() -> None:
    sys.stdin.read()


def _hang() -> None:
    while True:
        signal.pause()


def _crash() -> None:
    sys.stdin.readline()
    os.abort()


ENDS: dict[str, Callable[[], None]] = {
    "wait": _wait,
    "wait, its init will die": _wait,
    "hang": _hang,
    "crash": _crash,
    "return": lambda: None,
}

if __name__ == "__main__":
    main(*sys.argv[1:])
