"""The init process of a runner, a program of its own: starts the runner, and ends all that it has started.

    python runner_init.py GRACE_S module agent_runner [ARGUMENT...]
    python runner_init.py GRACE_S exec COMMAND [ARGUMENT...]

- It runs a module in a fork of itself, which saves the start of a second interpreter.
- It is a subreaper (prctl(2)): an orphan of the runner becomes its child, even one with a session of its own.
  So it finds every descendant when the runner has ended.
- Its stdin is the lifeline, which the runner inherits. `GRACE_S` seconds after EOF, or after a signal to end,
  it kills the runner and its descendants.
- It writes the runner's process id to stdout, or the error if the runner does not start. It ends with the
  runner's exit code or signal.
- It imports nothing of NanoClaw, because each runner waits for its start.
"""

import ctypes
import os
import select
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from time import monotonic, sleep  # noqa: TID251 -- it has no event loop
from types import FrameType
from typing import NoReturn

PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36
STDIN, STDOUT = 0, 1
FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
KILL_S = 5.0
"""Longest wait for the end of killed processes."""
PAUSE_S = 0.002
"""Pause between two searches for descendants."""


def main(grace_s: float, how: str, command: Sequence[str]) -> NoReturn:
    """Run the command, a module or a program as `how` says, and end with its exit code or signal."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    _end_as(_supervise(_start(how, command), grace_s))


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


# -- the start -------------------------------------------------------------------


def _start(how: str, command: Sequence[str]) -> int:
    """Start the runner and report its process id. In the fork, this does not return."""
    failed, fails = os.pipe()
    try:
        pid = os.fork()
    except OSError as error:
        os.write(STDOUT, _reported(error))
        sys.exit(1)
    if pid == 0:
        os.close(failed)
        _silence_stdout()
        _run_module(command, fails) if how == "module" else _run_program(command, fails)
    os.close(fails)
    failure = os.read(failed, 4096)  # EOF once the runner runs
    os.close(failed)
    with suppress(BrokenPipeError):  # the host has died, so the lifeline ends as well
        os.write(STDOUT, failure or b"%d" % pid)
    _silence_stdout()
    return pid


def _run_module(command: Sequence[str], fails: int) -> NoReturn:
    os.close(fails)
    import runpy  # noqa: PLC0415 -- only the fork needs it

    sys.argv[1:] = command[1:]
    runpy.run_module(command[0], run_name="__main__", alter_sys=True)
    sys.exit(0)


def _run_program(command: Sequence[str], fails: int) -> NoReturn:
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(command[0], list(command))  # noqa: S606 -- the configured runner
    except OSError as error:
        os.write(fails, _reported(error))
    os._exit(127)


def _reported(error: OSError) -> bytes:
    """Return an error as the host reads it: its number and its text."""
    return f"{error.errno or 0} {error.strerror or error}".encode()


def _silence_stdout() -> None:
    """Close the pipe to the host, which waits for its EOF."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, STDOUT)
    os.close(null)


# -- the life of the runner --------------------------------------------------------


def _supervise(runner: int, grace_s: float) -> int:
    """Wait for the end of the runner, end its descendants, and return its wait status."""
    signals = _signal_pipe()
    poll = select.poll()
    poll.register(signals, select.POLLIN)
    poll.register(STDIN, 0)  # reports only the hang-up: the runner may read from it
    deadline: float | None = None
    while (status := _reap(runner)) is None:
        asked = _wait(poll, signals, runner, deadline)
        if deadline is not None and monotonic() >= deadline:
            _kill(runner, signal.SIGKILL)
            _kill_descendants()
            deadline = monotonic() + KILL_S
        elif asked and deadline is None:
            deadline = monotonic() + grace_s
    _end_descendants()
    return status


def _wait(poll: "select.poll", signals: int, runner: int, deadline: float | None) -> bool:
    """Wait for a signal, EOF on the lifeline or the deadline. Return True if the runner is asked to end."""
    left_ms = None if deadline is None else max(0.0, deadline - monotonic()) * 1000
    asked = False
    for descriptor, event in poll.poll(left_ms):
        if descriptor == STDIN:
            poll.unregister(STDIN)
            asked = asked or bool(event & select.POLLHUP)
        else:
            asked = _forward(signals, runner) or asked
    return asked


def _signal_pipe() -> int:
    """Return a descriptor from which the numbers of arriving signals are read."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, *FORWARDED):
        signal.signal(number, _note)
    return reading


def _note(_number: int, _frame: FrameType | None) -> None:
    """Do nothing. Python writes the number to the wake-up descriptor."""


def _forward(signals: int, runner: int) -> bool:
    """Forward signals to end to the runner. Return True if there was one."""
    ends = [number for number in os.read(signals, 512) if number in FORWARDED]
    for number in ends:
        _kill(runner, number)
    return bool(ends)


def _reap(runner: int) -> int | None:
    """Reap every child that has ended. Return the runner's wait status if it is one of them."""
    found = None
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == runner:
                found = ended[1]
    return found


# -- the end -----------------------------------------------------------------------


def _end_descendants() -> None:
    """Kill all descendants, until there is no child left."""
    deadline = monotonic() + KILL_S
    while _has_children() and monotonic() < deadline:
        _kill_descendants()
        sleep(PAUSE_S)


def _has_children() -> bool:
    """Reap the children that have ended. Return whether others are left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _kill_descendants() -> None:
    for pid in _descendants(os.getpid()):
        _kill(pid, signal.SIGKILL)


def _descendants(ancestor: int) -> Iterator[int]:
    """Yield the processes below this one, each before its children."""
    children: dict[int, list[int]] = {}
    for pid, parent in _parents():
        children.setdefault(parent, []).append(pid)
    waiting = [ancestor]
    while waiting:
        found = children.pop(waiting.pop(), [])
        waiting += found
        yield from found


def _parents() -> Iterator[tuple[int, int]]:
    """Yield each process of this machine with its parent; none where /proc cannot be read."""
    try:
        names = os.listdir("/proc")  # noqa: PTH208 -- pathlib takes long to import
    except OSError:
        return
    for name in names:
        if name.isdecimal():
            with suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123 -- as above
                # After the name in brackets, which may contain anything, come the state and the parent.
                yield int(name), int(file.read().rpartition(b")")[2].split()[1])


def _kill(pid: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _end_as(status: int) -> NoReturn:
    """End with the exit code or signal of a wait status."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        _prctl(PR_SET_DUMPABLE, 0)  # the runner has left the core dump
        with suppress(OSError):  # the action of SIGKILL cannot be set, and need not be
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.WEXITSTATUS(status))


if __name__ == "__main__":
    main(float(sys.argv[1]), sys.argv[2], sys.argv[3:])
