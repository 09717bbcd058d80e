"""The first program of a sandbox, a program of its own: sets its limits, and becomes the runner.

    python inside.py REPORT LIMITS module agent_runner FOLDERS [ARGUMENT...]
    python inside.py REPORT LIMITS exec COMMAND [ARGUMENT...]

- `REPORT` is a descriptor. It writes `+` there when the runner starts, or `-` and the reason why it does not.
- `LIMITS` are limits as `NAME=soft:hard`, separated by commas. An empty value keeps what is in force.
- `FOLDERS` are where its modules are found, the first one before all others. The variable
  PYTHONPATH is for the programs of the agent alone.
- It imports nothing of NanoClaw, because each runner waits for its start.
"""

import errno
import os
import resource
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

OOM_SCORE = b"500"
"""If the machine has no memory left, the kernel ends a sandbox before the host."""


def main(report: int, limits: str, how: str, command: Sequence[str]) -> NoReturn:
    """Bound this process, report the start, and run the module or program."""
    _prefer_in_shortage()
    for limit in filter(None, limits.split(",")):
        _bound(*limit.split("="))
    if how == "module":
        os.write(report, b"+\n")
        os.close(report)
        _run_module(command)
    _run_program(report, command)


def _prefer_in_shortage() -> None:
    with suppress(OSError):
        file = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        os.write(file, OOM_SCORE)
        os.close(file)


def _bound(name: str, values: str) -> None:
    """Set a limit. One that is in force and lower stays."""
    number = getattr(resource, f"RLIMIT_{name}")
    _, hardest = resource.getrlimit(number)
    soft, hard = (int(value) if value else hardest for value in values.split(":"))
    if hardest != resource.RLIM_INFINITY:
        soft, hard = (
            hardest if value == resource.RLIM_INFINITY else min(value, hardest) for value in (soft, hard)
        )
    resource.setrlimit(number, (soft, hard))


def _run_module(command: Sequence[str]) -> NoReturn:
    name, folders, *arguments = command
    import runpy  # noqa: PLC0415 -- a program does not need it

    first, *others = folders.split(":")
    sys.path[:] = [first, *sys.path, *(each for each in others if each not in sys.path)]
    sys.argv[1:] = arguments
    runpy.run_module(name, run_name="__main__", alter_sys=True)
    sys.exit(0)


def _run_program(report: int, command: Sequence[str]) -> NoReturn:
    import signal  # noqa: PLC0415 -- a module does not need it

    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them
        signal.signal(number, signal.SIG_DFL)
    try:
        program = _found(command[0])
    except OSError as error:
        os.write(report, f"-{error.strerror or error}\n".encode())
        os._exit(127)
    os.write(report, b"+\n")
    os.close(report)
    os.execv(program, list(command))  # noqa: S606 -- the configured runner


def _found(program: str) -> str:
    """Return the path of a program. Raises OSError."""
    folders = [""] if "/" in program else os.environ.get("PATH", "").split(":")
    for folder in folders:
        path = f"{folder}/{program}" if folder else program
        if os.path.isfile(path) and os.access(path, os.X_OK):  # noqa: PTH113 -- pathlib takes long to import
            return path
    raise OSError(errno.ENOENT, f"there is no program {program!r} in the sandbox")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:])
