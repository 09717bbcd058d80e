"""Ends the processes of an agent's commands, also those that left their process group.

Each command has a mark in its environment, which its children inherit. A process that is neither of the
command's session nor below it, and has thrown the mark away, is not found. It ends with the sandbox.
"""

import os
import signal
from collections.abc import Collection, Iterator
from contextlib import suppress

import trio
from attrs import frozen

MARK = "NANOCLAW_COMMAND"
"""The variable with the mark of a command."""
ROUNDS = 50
PAUSE_S = 0.01


@frozen
class _Process:
    pid: int
    parent: int
    session: int
    mark: str


async def end_all(leaders: Collection[int], marks: Collection[str]) -> None:
    """Kill all processes of the sessions that these processes lead, and all with one of these marks.

    They are stopped first, so that none can start another meanwhile.
    """
    for _ in range(ROUNDS):
        found = list(_of(leaders, marks))
        if not found:
            return
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for process in found:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(process.pid, number)
        await trio.sleep(PAUSE_S)


def _of(leaders: Collection[int], marks: Collection[str]) -> Iterator[_Process]:
    processes = list(_processes())
    wanted = {each.pid for each in processes if each.session in leaders or each.mark in marks}
    count = -1
    while count != len(wanted):  # until there are no more children of those
        count = len(wanted)
        wanted |= {each.pid for each in processes if each.parent in wanted}
    return (each for each in processes if each.pid in wanted and each.pid != os.getpid())


def _processes() -> Iterator[_Process]:
    """Yield the processes that live. Zombies hold nothing."""
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():  # noqa: PTH112, PTH208 -- fast, for many
        if name.isdecimal():
            with suppress(OSError, ValueError, IndexError):
                state, parent, _, session = _read(name, "stat").rpartition(b")")[2].split()[:4]
                if state not in (b"Z", b"X"):
                    yield _Process(int(name), int(parent), int(session), _mark(name))


def _mark(pid: str) -> str:
    with suppress(OSError):
        prefix = f"{MARK}=".encode()
        for variable in _read(pid, "environ").split(b"\0"):
            if variable.startswith(prefix):
                return variable[len(prefix) :].decode("utf-8", "replace")
    return ""


def _read(pid: str, name: str) -> bytes:
    descriptor = os.open(f"/proc/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = bytearray()
        while chunk := os.read(descriptor, 64 * 1024):
            data += chunk
        return bytes(data)
    finally:
        os.close(descriptor)
