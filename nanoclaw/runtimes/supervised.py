"""Child processes that leave nothing behind: when one ends, everything that it has started ends.

On Linux a program runs below an init process (`runner_init.py`). If that is killed, its descendants are found
by a variable that they inherit, also by the next host. Elsewhere only the process group is killed.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import DEVNULL, PIPE

import trio
from attrs import define, frozen

from nanoclaw.runtimes.protocol import NothingLeft, StartFailed
from nanoclaw.system.descriptors import descriptors, restore_limit
from nanoclaw.system.obstacles import Obstacle, kind_of

INIT = str(Path(__file__).with_name("runner_init.py"))
HAS_INIT = sys.platform == "linux"
LATE_S = 1.0
"""Seconds that an init process has to kill its descendants before it is killed itself."""
SESSION_VARIABLE = "SESSION_OUTBOUND_DB_PATH"
"""The variable by which the processes of one session are found."""
MAX_SWEEPS = 20
"""Limit of the searches for processes of a session: one of them may start another during a search."""
MAX_REPORT = 4096
"""Bytes of an init process's report that are read."""
_RAISE_LIMIT = "if this lasts, raise the limit (`ulimit -n`, or LimitNOFILE= of the service)"


@frozen
class Program:
    """A program, and the command that runs it below an init process."""

    command: Sequence[str]
    _init: Sequence[str]
    """The command of the init process, up to the grace period."""
    _below: Sequence[str]
    """The arguments after the grace period: what the init process runs, and how."""

    def below_init(self, grace_s: float) -> Sequence[str]:
        """Return the command that starts the program below an init process."""
        return (*self._init, str(grace_s), *self._below)


def external(command: Sequence[str]) -> Program:
    """Return a program that is not ours. Its init process loads as little of Python as possible."""
    return Program(command, (sys.executable, "-I", "-S", INIT), ("exec", *command))


def module(name: str, arguments: Sequence[str]) -> Program:
    """Return a module as a program."""
    python = (sys.executable, "-P")  # the working directory is the agent's: import nothing from there
    return Program((*python, "-m", name, *arguments), (*python, INIT), ("module", name, *arguments))


@define(eq=False)
class SupervisedProcess:
    """A running program, and its init process, if it has one."""

    pid: int
    """The program's own id."""
    _outer: trio.Process
    """The init process, else the program itself."""
    _variable: str
    """The variable that all its descendants inherit, as `NAME=value`."""

    @property
    def returncode(self) -> int | None:
        """The program's return code, as `subprocess` gives it, or None while it or a descendant runs."""
        return self._outer.returncode

    @property
    def stderr(self) -> trio.abc.ReceiveStream | None:
        """The stderr of the program and its descendants."""
        return self._outer.stderr

    async def wait(self) -> int:
        """Return the return code, once the program and its descendants are gone."""
        return await self._outer.wait()

    def kill(self) -> None:
        """Kill the program alone. Its init process then ends the rest."""
        self.send_signal(signal.SIGKILL)

    def send_signal(self, number: int) -> None:
        """Send a signal to the program alone."""
        if self.returncode is None:
            _send(os.kill, self.pid, number)

    async def kill_all(self) -> None:
        """Kill the process group, after giving the init process `LATE_S` to kill all descendants."""
        if HAS_INIT:
            await trio.sleep(LATE_S)
        self._kill_group()

    async def end(self) -> None:
        """Kill the descendants that are left. Call it when `wait` has returned."""
        self._kill_group()
        if HAS_INIT and (self.returncode or 0) < 0:  # a signal may have ended it before it had killed them
            await trio.to_thread.run_sync(_kill_all_with, self._variable)

    def _kill_group(self) -> None:
        _send(os.killpg, self._outer.pid, signal.SIGKILL)


async def start(
    program: Program, folder: Path, environment: Mapping[str, str], grace_s: float
) -> tuple[SupervisedProcess, int]:
    """Start a program in a session of its own. Return it, with the descriptor that is its lifeline.

    Raises:
        NothingLeft: not now, since descriptors, memory or processes are exhausted.
        StartFailed: it cannot be started. The text says why.
    """
    require_descriptors()
    what = " ".join(program.command)
    with failing("its lifeline"):
        inside, outside = os.pipe()
    try:
        with failing(what):
            outer = await trio.lowlevel.open_process(
                program.below_init(grace_s) if HAS_INIT else program.command,
                stdin=inside,
                stdout=PIPE if HAS_INIT else DEVNULL,
                stderr=PIPE,
                cwd=folder,
                env=environment,
                start_new_session=True,  # Ctrl-C goes to the host alone; killpg reaches grandchildren
            )
            restore_limit(outer.pid)
            pid = await _pid(outer) if HAS_INIT else outer.pid
    except BaseException:
        os.close(outside)
        raise
    finally:
        os.close(inside)
    restore_limit(pid)  # it may have been forked before its parent's limit was restored
    return SupervisedProcess(pid, outer, f"{SESSION_VARIABLE}={environment[SESSION_VARIABLE]}"), outside


def require_descriptors() -> None:
    """Refuse a start that would take the descriptors which the host needs for itself."""
    found = descriptors()
    if found.scarce:
        raise NothingLeft(
            f"the runner does not start now: {found.used} of {found.limit} descriptors are used, and the "
            f"host reserves the last {found.reserve}; {_RAISE_LIMIT}"
        )


@contextmanager
def failing(what: str) -> Iterator[None]:
    """Raise errors of the operating system as failed starts. `what` names the part that failed."""
    try:
        yield
    except OSError as error:
        if kind_of(error) is Obstacle.EXHAUSTED:
            raise NothingLeft(f"the runner does not start now: {what}: {error}; {_RAISE_LIMIT}") from error
        raise StartFailed(f"the runner does not start: {what}: {error}") from error


async def _pid(init: trio.Process) -> int:
    """Return the id of the program, as its init process reports it. Raises OSError with its reason."""
    assert init.stdout is not None  # noqa: S101 -- it is a pipe
    report = b""
    try:
        async with init.stdout as stream:
            while chunk := await stream.receive_some(MAX_REPORT - len(report) or 1):
                report += chunk
        return int(report)
    except BaseException as error:
        _send(os.killpg, init.pid, signal.SIGKILL)
        with trio.CancelScope(shield=True):
            await init.wait()
        if isinstance(error, ValueError):
            number, _, text = report.decode("utf-8", "replace").partition(" ")
            raise OSError(
                int(number) if number.isdecimal() else 0, text or "its init process was killed"
            ) from error
        raise


# -- the search for what an init process has left ----------------------------------


def kill_orphans(sessions: Path) -> None:
    """Kill the processes of these sessions whose init process is gone. Blocking.

    A host does this at its start: the last one may have been killed together with init processes.
    """
    if HAS_INIT:
        beginning = f"{SESSION_VARIABLE}={sessions}{os.sep}".encode()
        _kill_with(lambda variable: variable.startswith(beginning), lambda pid: not _has_init(pid))


def _kill_all_with(variable: str) -> None:
    """Kill the processes of this machine that have inherited a variable."""
    _kill_with(lambda found: found == variable.encode(), lambda _: True)


def _kill_with(is_it: Callable[[bytes], bool], dies: Callable[[int], bool]) -> None:
    """Kill the processes with a variable that `is_it` accepts, if `dies` accepts their id."""
    for _ in range(MAX_SWEEPS):
        found = [pid for pid in _processes_with(is_it) if dies(pid)]
        if not found:
            return
        for pid in found:
            _send(os.kill, pid, signal.SIGKILL)


def _has_init(pid: int) -> bool:
    """Return whether a process is, or descends from, an init process, which will end it."""
    with suppress(OSError, ValueError):
        while pid > 1:
            if INIT.encode() in Path("/proc", str(pid), "cmdline").read_bytes().split(b"\0"):
                return True
            pid = int(Path("/proc", str(pid), "stat").read_bytes().rpartition(b")")[2].split()[1])
    return False


def _processes_with(is_it: Callable[[bytes], bool]) -> Iterator[int]:
    own = os.getpid()
    try:
        names = os.listdir("/proc")  # noqa: PTH208 -- names are needed, not paths
    except OSError:
        return
    for name in names:
        if name.isdecimal() and int(name) != own:
            with suppress(OSError):  # it is gone, or another user's
                if any(map(is_it, Path("/proc", name, "environ").read_bytes().split(b"\0"))):
                    yield int(name)


def _send(kill: Callable[[int, int], None], pid: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        kill(pid, number)
