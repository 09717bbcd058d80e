"""A private container engine for tests: its own data, its own socket, ended by its own process id."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import define

if TYPE_CHECKING:
    from docker import APIClient

START_S = 20.0
STOP_S = 30.0
LOOK_S = 0.02
PROGRAM = "dockerd"
DRIVERS = ("overlay2", "vfs")


class NoEngine(Exception):
    """No engine can be started here. The text says why."""


@define(eq=False)
class PrivateEngine:
    """An engine below one folder. It may be stopped, killed and started again, also by another process."""

    folder: Path
    driver: str = ""

    @property
    def socket(self) -> Path:
        return self.folder / "engine.sock"

    @property
    def pid(self) -> int | None:
        """The engine's process, if it runs."""
        with suppress(OSError, ValueError):
            pid = int((self.folder / "engine.pid").read_text())
            return pid if _runs(pid) else None
        return None

    @contextmanager
    def client(self, timeout: int = 60) -> Iterator["APIClient"]:
        from nanoclaw.runtimes.docker.client import client_of_version  # noqa: PLC0415 -- slow to import

        with client_of_version(self.socket, "1.41", timeout) as client:
            yield client

    def start(self) -> None:
        """Start it, and return when it answers. Raises NoEngine."""
        if shutil.which(PROGRAM) is None:
            raise NoEngine(f"the program {PROGRAM} is not installed: apt-get install docker.io")
        if os.geteuid() != 0:
            raise NoEngine("only root may start a private engine")
        if not any(self._starts(driver) for driver in ([self.driver] if self.driver else DRIVERS)):
            raise NoEngine((self.folder / "engine.log").read_text("utf-8", "replace")[-2000:])

    def _starts(self, driver: str) -> bool:
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [
            *(
                PROGRAM,
                "--bridge=none",
                "--iptables=false",
                "--ip6tables=false",
                f"--storage-driver={driver}",
            ),
            *("--data-root", str(self.folder / "data"), "--exec-root", str(self.folder / "run")),
            *(
                "-H",
                f"unix://{self.socket}",
                "-p",
                str(self.folder / "engine.pid"),
                "--shutdown-timeout",
                "5",
            ),
        ]
        pid = _in_background(command, self.folder / "engine.log")
        until = time.monotonic() + START_S
        while time.monotonic() < until and _runs(pid):
            if self.answers():
                self.driver = driver
                return True
            time.sleep(LOOK_S)
        self.stop()
        return False

    def answers(self) -> bool:
        """Return True if it answers a ping. The client of engines leaks sockets that do not connect."""
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(5)
            try:
                probe.connect(str(self.socket))
                probe.sendall(b"GET /_ping HTTP/1.1\r\nHost: engine\r\n\r\n")
                return b" 200 " in probe.recv(64)
            except OSError:
                return False

    def kill(self) -> None:
        """Kill the engine, as SIGKILL does. Its containers go on.

        Its helper `containerd` dies with it, but later. A new engine would wait for the old helper.
        """
        helper = self.folder / "run" / "containerd" / "containerd.pid"
        pid = int(helper.read_text()) if helper.exists() else None
        self._end(signal.SIGKILL)
        (self.folder / "engine.pid").unlink(missing_ok=True)
        while pid is not None and _runs(pid, b"containerd"):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            time.sleep(LOOK_S)
        helper.unlink(missing_ok=True)

    def stop(self) -> None:
        """Stop it in order, with its containers."""
        self._end(signal.SIGTERM)

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Let it hang while this is open: it takes connections and answers nothing."""
        pid = self.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def _end(self, number: int) -> None:
        pid = self.pid
        if pid is None:
            return
        os.kill(pid, number)
        until = time.monotonic() + STOP_S
        while self.pid is not None and time.monotonic() < until:
            time.sleep(LOOK_S)

    def remove(self) -> None:
        """End it at once, with all its containers, and delete everything that it kept."""
        self.kill()
        for pid in _left(self.folder):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _unmount_below(self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)


def _in_background(command: Sequence[str], log: Path) -> int:
    """Start a program that is nobody's child, since another worker may stop it. Return its process id."""
    script = 'setsid "$@" >>"$0" 2>&1 </dev/null & echo $!'
    started = subprocess.run(["sh", "-c", script, str(log), *command], check=True, stdout=subprocess.PIPE)  # noqa: S607
    return int(started.stdout)


def _runs(pid: int, program: bytes = PROGRAM.encode()) -> bool:
    """Return True if a process runs a program, or is about to."""
    with suppress(OSError):
        line = Path(f"/proc/{pid}/cmdline").read_bytes()
        if not line:  # it is dead, or within an exec
            state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
            return state not in {b"Z", b"X"}
        return program in line or b"setsid" in line or line.startswith(b"sh\0")
    return False


def _left(folder: Path) -> Iterator[int]:
    """Yield the processes of containers whose engine was killed, and then the helper of each."""
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            line = (entry / "cmdline").read_bytes() if entry.name.isdecimal() else b""
            if b"containerd-shim" in line and bytes(folder) + b"/" in line:
                yield from map(int, (entry / "task" / entry.name / "children").read_text().split())
                yield int(entry.name)


def _unmount_below(folder: Path) -> None:
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text("utf-8").splitlines()]
    below = [mount for mount in mounts if Path(mount).is_relative_to(folder)]
    for mount in sorted(below, reverse=True):
        subprocess.run(["umount", "-l", mount], check=False, capture_output=True)  # noqa: S607
