"""Runs scripts as processes. The seam is `agent_runner.scripts.protocol.Scripts`."""

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import trio
from attrs import define, field, frozen

from agent_runner.scripts.protocol import LARGEST_OUTPUT, LIMIT_S, Ended

MODEL_VARIABLES = "NANOCLAW_MODEL_"
"""Prefix of the variables that a script does not get."""
LINGER_S = 1.0
"""Seconds to read the rest of the output after the end. A process outside the group may hold the pipe."""


@frozen
class ScriptProcesses:
    """Runs each script in a process group of its own, and kills the whole group at the end."""

    environment: Mapping[str, str] = field(factory=lambda: dict(os.environ))
    limit_s: float = LIMIT_S

    async def run(self, script: str, workspace: Path, /) -> Ended:
        """Run a script with bash, else with sh. Nothing of its group is left afterwards."""
        with TemporaryDirectory(prefix="nanoclaw-script-", ignore_cleanup_errors=True) as folder:
            file = Path(folder) / "script"
            try:
                file.write_text(script, "utf-8", "replace")
                process = await trio.lowlevel.open_process(
                    [shutil.which("bash") or "/bin/sh", str(file)],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    cwd=workspace,
                    env=_visible(self.environment),
                    start_new_session=True,
                )
            except OSError as error:
                return Ended("", problem=f"the script could not be started: {error.strerror or error}")
            return await self._watch(process)

    async def _watch(self, process: trio.Process) -> Ended:
        stdout, stderr = _Tail(LARGEST_OUTPUT), _Tail(LARGEST_OUTPUT // 8)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stdout.read, process.stdout)
            nursery.start_soon(stderr.read, process.stderr)
            try:
                with trio.move_on_after(self.limit_s) as limit:
                    await process.wait()
            finally:
                _kill_group(process)
                with trio.CancelScope(shield=True):
                    await process.wait()
            nursery.cancel_scope.deadline = trio.current_time() + LINGER_S
        late = f"the script took longer than {self.limit_s:.0f} s and was killed"
        return Ended(stdout.text, stderr.text, late if limit.cancelled_caught else _failure(process))


def _failure(process: trio.Process) -> str | None:
    return f"the script ended with exit code {process.returncode}" if process.returncode else None


def _visible(environment: Mapping[str, str]) -> Mapping[str, str]:
    return {name: value for name, value in environment.items() if not name.startswith(MODEL_VARIABLES)}


def _kill_group(process: trio.Process) -> None:
    """Kill all processes of the group. Its leader may be gone."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


@define(eq=False)
class _Tail:
    """The last bytes of a stream. The rest is read and dropped, so that the script never blocks."""

    _most: int
    _bytes: bytearray = field(factory=bytearray, init=False)

    @property
    def text(self) -> str:
        """What is left, as text."""
        return self._bytes.decode("utf-8", "replace")

    async def read(self, stream: trio.abc.ReceiveStream | None) -> None:
        """Read to the end."""
        if stream is None:
            return
        async with stream:
            async for chunk in stream:
                self._bytes += chunk
                del self._bytes[: -self._most]
