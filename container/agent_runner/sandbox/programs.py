"""Runs a helper program to its end: bounded output, bounded time, and nothing of it is left."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress

import trio
from attrs import define, field, frozen

LONGEST_ERRORS = 4_000
"""Bytes of stderr that are kept."""
CHUNK = 64 * 1024


@frozen
class Ran:
    """A program that ended or was killed."""

    output: bytes
    errors: str
    code: int
    """Its exit code; negative: the signal that ended it."""
    cut: bool = False
    """True if it wrote more than it may, so that it was killed."""
    late: bool = False
    """True if it took too long, so that it was killed."""


@define(eq=False)
class _Kept:
    """The beginning of a stream."""

    most: int
    data: bytearray = field(factory=bytearray, init=False)
    more: trio.Event = field(factory=trio.Event, init=False)

    async def read(self, stream: trio.abc.ReceiveStream | None) -> None:
        """Read to the end. Set `more` if something is dropped."""
        if stream is None:
            return
        async with stream:
            async for chunk in stream:
                room = self.most - len(self.data)
                self.data += chunk[:room]
                if len(chunk) > room:
                    self.more.set()


async def run_program(  # noqa: PLR0913 -- all by keyword
    command: Sequence[str],
    *,
    folder: str,
    most: int,
    limit_s: float,
    given: bytes = b"",
    variables: Mapping[str, str] | None = None,
) -> Ran:
    """Run a program with `given` as its input. Raises OSError if it cannot be started."""
    process = await trio.lowlevel.open_process(
        list(command),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=folder,
        env={**os.environ, **(variables or {})},
        start_new_session=True,
    )
    output, errors = _Kept(most), _Kept(LONGEST_ERRORS)
    try:
        with trio.move_on_after(limit_s) as limit:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_feed, process, given)
                nursery.start_soon(errors.read, process.stderr)
                nursery.start_soon(_end_on_more, output, process)
                await output.read(process.stdout)
                await process.wait()
                nursery.cancel_scope.cancel()
    finally:
        end_group(process)
        with trio.CancelScope(shield=True):
            await process.wait()
    return Ran(
        bytes(output.data),
        errors.data.decode("utf-8", "replace").strip(),
        process.returncode or 0,
        cut=output.more.is_set(),
        late=limit.cancelled_caught,
    )


async def _feed(process: trio.Process, data: bytes) -> None:
    if process.stdin is not None:
        with suppress(trio.BrokenResourceError):
            async with process.stdin:
                await process.stdin.send_all(data)


async def _end_on_more(output: _Kept, process: trio.Process) -> None:
    await output.more.wait()
    end_group(process)


def end_group(process: trio.Process, number: int = signal.SIGKILL) -> None:
    """Send a signal to all processes of a program's group. Its leader may be gone."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def module_command(module: str) -> tuple[Sequence[str], Mapping[str, str]]:
    """Return the command line and the variables that run a module of this package in a process of its own."""
    return [sys.executable, "-P", "-m", module], {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
