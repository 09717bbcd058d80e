"""A sandbox as a child process: it starts from the main thread, and nothing of it survives its end."""

import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from subprocess import DEVNULL
from typing import Protocol

import trio
from attrs import define, field, frozen

from nanoclaw.runtimes.protocol import StartFailed
from nanoclaw.runtimes.supervised import failing, require_descriptors

END_S = 5.0
"""The longest wait for the end of killed processes. A process that waits for a disk cannot be killed."""
SIGNALLED = 128
"""Bubblewrap adds this to the number of the signal that ended the runner."""
START_S = 30.0
"""The longest wait for the start of a runner."""
WORDS_S = 1.0
"""The longest wait for the last words of a failed start."""
MAX_REPORT = 8192
_FIRST = re.compile(rb'"child-pid": (\d+)')
_REPORT = re.compile(rb"^([+-].*)\n", re.MULTILINE)


class NotMade(StartFailed):
    """Bubblewrap ended before it had started the runner. The text has its words."""


@define(eq=False)
class SandboxProcess:
    """A running sandbox."""

    outer: "subprocess.Popen[bytes]"
    """The first bubblewrap. Its death ends the others."""
    stderr: trio.abc.ReceiveStream
    _outer_fd: int
    first: int | None = None
    """The id of the first process inside, as the host sees it."""
    _first_fd: int | None = field(default=None, init=False)
    _returncode: int | None = field(default=None, init=False)

    @property
    def pid(self) -> int:
        """The id of the first bubblewrap."""
        return self.outer.pid

    @property
    def returncode(self) -> int | None:
        """The runner's return code, as `subprocess` gives it."""
        code = self._returncode
        return SIGNALLED - code if code is not None and code > SIGNALLED else code

    async def wait(self) -> int:
        """Return the return code, once nothing of the sandbox is alive."""
        if self._returncode is None:
            await trio.lowlevel.wait_readable(self._outer_fd)
            # It is not reaped yet, so the number of its group cannot be another's.
            self._kill_group()
            with trio.CancelScope(shield=True):
                await self._until_inside_is_gone()
            self._returncode = self.outer.wait()
        return self.returncode or 0

    def kill(self) -> None:
        """Kill everything of the sandbox."""
        if self._returncode is None:
            self._kill_group()
            self._kill_inside()

    async def kill_all(self) -> None:
        """Kill everything of the sandbox."""
        await trio.lowlevel.checkpoint()
        self.kill()

    async def end(self) -> None:
        """Close what belongs to it. It must be gone."""
        await trio.lowlevel.checkpoint()
        for descriptor in (self._outer_fd, self._first_fd):
            if descriptor is not None:
                os.close(descriptor)
        self._first_fd = None

    def saw_first(self, pid: int) -> None:
        """Note the first process inside. All others inside end with it."""
        with suppress(OSError):
            descriptor = os.pidfd_open(pid)
            if _is_first(pid):
                self.first, self._first_fd = pid, descriptor
            else:
                os.close(descriptor)

    def _kill_group(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.outer.pid, signal.SIGKILL)

    def _kill_inside(self) -> None:
        if self._first_fd is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._first_fd, signal.SIGKILL)

    async def _until_inside_is_gone(self) -> None:
        """Wait for the end of the first process inside, which comes after that of all others inside."""
        self._kill_inside()
        if self._first_fd is not None:
            with trio.move_on_after(END_S):
                await trio.lowlevel.wait_readable(self._first_fd)


def _is_first(pid: int) -> bool:
    """Return whether a process is the first one of a namespace below ours."""
    status = Path("/proc", str(pid), "status").read_text("utf-8")
    numbers = next((line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:")), [])
    return len(numbers) > 1 and numbers[-1] == "1"


# -- the start -------------------------------------------------------------------


class Line(Protocol):
    """The command line of a sandbox. It names descriptors by their numbers."""

    def __call__(self, *, report: int, info: int, seccomp: int | None) -> Sequence[str]:
        """Return the line."""
        ...


async def start(
    line: Line, environment: Mapping[str, str], seccomp: bytes | None
) -> tuple[SandboxProcess, int]:
    """Start a sandbox. Return it with the descriptor that is its lifeline, once the runner runs in it.

    Raises:
        NothingLeft: not now, since descriptors, memory or processes are exhausted.
        NotMade: bubblewrap refuses.
        StartFailed: there is no such program in the sandbox, or bubblewrap itself cannot be started.
    """
    require_descriptors()
    with failing("bubblewrap"), ExitStack() as ours, ExitStack() as theirs:
        pipes = _Pipes.opened(ours, theirs)
        filter_ = None if seccomp is None else _in_memory(seccomp, theirs)
        process = _spawn(line, environment, pipes, filter_)
        ours.pop_all()
    try:
        await _until_started(process, trio.lowlevel.FdStream(pipes.report))
    except BaseException:
        os.close(pipes.lifeline)
        with trio.CancelScope(shield=True):
            process.kill()
            await process.wait()
            await process.end()
            await process.stderr.aclose()
        raise
    return process, pipes.lifeline


@frozen
class _Pipes:
    """The host's ends of the pipes, and those of the child, which it inherits."""

    lifeline: int
    stderr: int
    report: int
    child_stdin: int
    child_stderr: int
    child_report: int
    child_info: int
    """Another descriptor of `child_report`: bubblewrap closes it before the runner starts."""

    @classmethod
    def opened(cls, ours: ExitStack, theirs: ExitStack) -> "_Pipes":
        """Open them. The stacks close each side."""
        child_stdin, lifeline = _pipe(theirs, ours)
        stderr, child_stderr = _pipe(ours, theirs)
        report, child_report = _pipe(ours, theirs)
        child_info = os.dup(child_report)
        theirs.callback(os.close, child_info)
        return cls(lifeline, stderr, report, child_stdin, child_stderr, child_report, child_info)


def _pipe(reader: ExitStack, writer: ExitStack) -> tuple[int, int]:
    reading, writing = os.pipe()
    reader.callback(os.close, reading)
    writer.callback(os.close, writing)
    return reading, writing


def _in_memory(data: bytes, stack: ExitStack) -> int:
    """Return the descriptor of a file in memory, at its start."""
    descriptor = os.memfd_create("filter")
    stack.callback(os.close, descriptor)
    os.write(descriptor, data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _spawn(line: Line, environment: Mapping[str, str], pipes: _Pipes, filter_: int | None) -> SandboxProcess:
    """Start the first program, from this thread.

    `--die-with-parent` means the *thread* that started it. One of trio's worker threads would end after 10 s.
    """
    command = line(report=pipes.child_report, info=pipes.child_info, seccomp=filter_)
    inherited = (pipes.child_report, pipes.child_info, *(() if filter_ is None else (filter_,)))
    outer = subprocess.Popen(
        command,
        stdin=pipes.child_stdin,
        stdout=DEVNULL,
        stderr=pipes.child_stderr,
        pass_fds=inherited,
        env=environment,
        cwd="/",
        start_new_session=True,  # Ctrl-C goes to the host alone
    )
    try:
        watched = os.pidfd_open(outer.pid)
    except OSError:
        outer.kill()
        outer.wait()
        raise
    return SandboxProcess(outer, trio.lowlevel.FdStream(pipes.stderr), watched)


async def _until_started(process: SandboxProcess, report: trio.lowlevel.FdStream) -> None:
    """Wait until the runner runs. Raises StartFailed."""
    said = b""
    async with report:
        with trio.move_on_after(START_S):
            async for chunk in report:
                said += chunk[: MAX_REPORT - len(said)]
                if process.first is None and (found := _FIRST.search(said)):
                    process.saw_first(int(found[1]))
                if found := _REPORT.search(said):
                    break
            else:
                words = await _last_words(process.stderr)
                raise NotMade(f"bubblewrap does not start the runner: {words}")
            if found[1].startswith(b"-"):
                raise StartFailed(f"the runner does not start: {found[1][1:].decode('utf-8', 'replace')}")
            return
    raise StartFailed(f"bubblewrap has not started the runner within {START_S:g} s: one of its folders hangs")


async def _last_words(stderr: trio.abc.ReceiveStream) -> str:
    """Return the end of what a failed bubblewrap wrote."""
    said = b""
    with trio.move_on_after(WORDS_S):
        async for chunk in stderr:
            said = (said + chunk)[-MAX_REPORT:]
    lines = said.decode("utf-8", "replace").strip().splitlines()
    return "; ".join(line.removeprefix("bwrap: ") for line in lines[-3:]) or "it gave no reason"
