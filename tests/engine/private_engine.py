"""A private container engine for tests: its own data, its own socket, ended by its own process id."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import docker
import trio
from attrs import define, field

START_S = 20.0
PROGRAM = "dockerd"
LOOK_S = 0.05


class NoEngine(Exception):
    """No engine can be started here. The text says why."""


@define(eq=False)
class PrivateEngine:
    """An engine below one folder. It may be stopped, killed and started again."""

    folder: Path
    driver: str = field(default="")
    _process: "subprocess.Popen[bytes] | None" = None

    @property
    def socket(self) -> Path:
        return self.folder / "engine.sock"

    @property
    def log(self) -> Path:
        return self.folder / "engine.log"

    def client(self, timeout: int = 60) -> docker.DockerClient:
        return docker.DockerClient(base_url=f"unix://{self.socket}", timeout=timeout, version="1.41")

    def start(self) -> None:
        """Start it, and return when it answers. Raises NoEngine."""
        if shutil.which(PROGRAM) is None:
            raise NoEngine(f"the program {PROGRAM} is not installed: apt-get install docker.io")
        if os.geteuid() != 0:
            raise NoEngine("only root may start a private engine")
        failures = []
        for driver in [self.driver] if self.driver else ["overlay2", "vfs"]:
            if self._starts(driver):
                self.driver = driver
                return
            failures.append(self.log.read_text("utf-8", "replace")[-800:])
        raise NoEngine("\n".join(failures))

    def _starts(self, driver: str) -> bool:
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [
            *(PROGRAM, "--bridge=none", "--iptables=false", "--ip6tables=false", f"--storage-driver={driver}"),
            *("--data-root", str(self.folder / "data"), "--exec-root", str(self.folder / "run")),
            *("-H", f"unix://{self.socket}", "-p", str(self.folder / "engine.pid"), "--shutdown-timeout", "5"),
        ]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        return trio.run(self._until_it_answers)

    async def _until_it_answers(self) -> bool:
        with trio.move_on_after(START_S):
            while self._process is not None and self._process.poll() is None:
                if await trio.to_thread.run_sync(self.answers):
                    return True
                await trio.sleep(LOOK_S)
        self.stop()
        return False

    def answers(self) -> bool:
        try:
            with_client = self.client(5)
            try:
                return bool(with_client.ping())
            finally:
                with_client.close()
        except (docker.errors.DockerException, OSError):
            return False

    def kill(self) -> None:
        """Kill the engine alone, as SIGKILL does. Its containers go on."""
        self._end(signal.SIGKILL)
        (self.folder / "engine.pid").unlink(missing_ok=True)

    def stop(self) -> None:
        """Stop it in order, with its containers."""
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        """Let it hang: it takes connections and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _end(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(30)
            self._process = None

    def remove(self) -> None:
        """Stop it and delete everything that it kept."""
        self.stop()
        for mounts in ("data", "run"):
            subprocess.run(["sh", "-c", f"grep -o ' {self.folder}/{mounts}[^ ]*' /proc/mounts | xargs -r umount -l"], check=False)  # noqa: S607
        shutil.rmtree(self.folder, ignore_errors=True)
