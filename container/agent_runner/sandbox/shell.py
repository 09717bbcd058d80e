"""The commands of an agent during one turn. None of their processes outlives the turn.

The working directory is kept in the session's state. So the next command starts where the last one ended.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import trio
from attrs import define, field

from agent_runner.config import RunnerConfig
from agent_runner.errors import ToolError
from agent_runner.sandbox.ending import MARK, end_all
from agent_runner.sandbox.output import LARGEST_FILE, OUTPUTS, Output, make_room
from agent_runner.sandbox.programs import end_group
from agent_runner.session import Session
from agent_runner.session_state import StoredState
from agent_runner.sockets.tools import tool_socket_path

FOLDER_KEY = "shell/folder"
"""The key of the session's state with the working directory."""
MOST_OUTPUTS = 20
"""Outputs that are kept. The oldest make room."""
GRACE_S = 1.0
"""Seconds to end after SIGTERM, before SIGKILL."""
KILL_S = 5.0
"""Seconds to wait for the end of killed processes. One in the middle of a system call may take longer."""
LINGER_S = 0.2
"""Seconds to read the rest of the output after the end. A process in the background may hold the pipe."""
HIDDEN = ("NANOCLAW_MODEL_", "NANOCLAW_LIFELINE")
"""Beginnings of the runner's variables that commands do not get."""
QUIET: Mapping[str, str] = {
    "TERM": "dumb",
    "NO_COLOR": "1",
    "PAGER": "cat",
    "GIT_PAGER": "cat",
    "GIT_TERMINAL_PROMPT": "0",
    "DEBIAN_FRONTEND": "noninteractive",
}
"""Variables that keep programs from waiting for a person at a terminal."""
WRAPPER = 'trap \'pwd -P >"$NANOCLAW_FOLDER_FILE"\' EXIT; . "$0"'
"""Runs the file with the command in this shell, and notes where it ends."""


@define(eq=False)
class Shell:
    """Runs the commands of one turn, one after the other."""

    _config: RunnerConfig
    _state: StoredState
    _new_mark: str
    _nursery: trio.Nursery
    _lock: trio.Lock = field(factory=trio.Lock, init=False)
    _leaders: list[int] = field(factory=list, init=False)
    """The processes that were started. Each leads a session, and may be gone."""
    _marks: list[str] = field(factory=list, init=False)

    async def run(self, command: str, timeout_s: float) -> str:
        """Run a command and return what it wrote and how it ended. Raises ToolError if it cannot start."""
        async with self._lock:
            folder, note = await self._folder()
            with TemporaryDirectory(prefix="nanoclaw-command-", ignore_cleanup_errors=True) as private:
                ended = await self._run(command, folder, Path(private), timeout_s)
                await self._keep_folder(folder, Path(private) / "folder")
        return "\n".join(filter(None, [note, ended]))

    async def end(self) -> None:
        """Kill what is left of all commands."""
        if self._leaders:
            await end_all(self._leaders, self._marks)

    async def _run(self, command: str, folder: str, private: Path, timeout_s: float) -> str:
        mark = f"{self._new_mark}-{len(self._marks)}"
        process = await self._start(command, folder, private, mark)
        self._leaders.append(process.pid)
        self._marks.append(mark)
        output = _output(self._config.workspace, mark)
        self._nursery.start_soon(output.read, process.stdout)
        try:
            with trio.move_on_after(timeout_s) as limit:
                await process.wait()
            if limit.cancelled_caught:
                end_group(process, signal.SIGTERM)
                with trio.move_on_after(GRACE_S):
                    await process.wait()
        finally:
            if process.returncode is None:
                with trio.move_on_after(KILL_S, shield=True):
                    await end_all([process.pid], [mark])
                    await process.wait()
        if limit.cancelled_caught:
            await end_all([process.pid], [mark])
        with trio.move_on_after(LINGER_S):
            await output.ended.wait()
        if not output.ended.is_set():
            output.keep_in_file()
        return _told(output, process.returncode, timeout_s if limit.cancelled_caught else None)

    async def _start(self, command: str, folder: str, private: Path, mark: str) -> trio.Process:
        try:
            script = private / "command"
            script.write_text(command + "\n", "utf-8", "replace")
            return await trio.lowlevel.open_process(
                [shutil.which("bash") or "/bin/sh", "-c", WRAPPER, str(script)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=self._variables(mark, private),
                start_new_session=True,
            )
        except OSError as error:
            raise ToolError(f"the command cannot be started: {error.strerror or error}") from error

    def _variables(self, mark: str, private: Path) -> Mapping[str, str]:
        socket = tool_socket_path(self._config)
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith(HIDDEN)},
            **QUIET,
            MARK: mark,
            "NANOCLAW_FOLDER_FILE": str(private / "folder"),
            **({"NANOCLAW_TOOLS_SOCKET": str(socket)} if socket else {}),
        }

    async def _folder(self) -> tuple[str, str]:
        """Return the working directory, and a note if the one that was kept is gone."""
        kept = await self._state.get(FOLDER_KEY)
        if kept is None or _is_folder(kept):
            return kept or str(self._config.workspace), ""
        return str(self._config.workspace), f"[{kept} is gone; the command ran in {self._config.workspace}]"

    async def _keep_folder(self, before: str, file: Path) -> None:
        with suppress(OSError, ValueError):
            now = file.read_text("utf-8").removesuffix("\n")  # noqa: ASYNC240 -- a short file in /tmp
            if now and now != before and "\0" not in now:
                await self._state.set(FOLDER_KEY, now)


def shell_of(session: Session, nursery: trio.Nursery) -> Shell:
    """Return the shell of a turn. Its owner calls `end` before it closes the nursery."""
    state = StoredState(session.outbound, session.seams.clock)
    return Shell(session.config, state, session.seams.new_id("bash"), nursery)


def _is_folder(path: str) -> bool:
    return os.path.isdir(path)  # noqa: PTH112 -- False for one that cannot be read


def _output(workspace: Path, mark: str) -> Output:
    path = workspace / OUTPUTS / f"{mark}.txt"

    def open_file() -> int:
        path.parent.mkdir(exist_ok=True)
        make_room(path.parent, "bash-*.txt", MOST_OUTPUTS)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(path, flags, 0o600)

    return Output(open_file, path)


def _told(output: Output, code: int | None, late_s: float | None) -> str:
    text = output.text()
    notes = [_ending(code, late_s)]
    if output.has_file:
        whole = "" if output.size <= LARGEST_FILE else f"the first {LARGEST_FILE // 2**20} MiB of "
        notes.append(f"[{whole}the output: {output.file_path}]")
    if not output.ended.is_set():
        notes.append("[a process goes on in the background until your turn ends, and writes to that file]")
    return "\n".join(filter(None, [text.rstrip("\n"), *notes]))


def _ending(code: int | None, late_s: float | None) -> str:
    match code:
        case _ if late_s is not None:
            return f"[killed after {late_s:g} s, with all that it started; raise timeout_s, or use `&`]"
        case 0:
            return "[exit code 0]"
        case int() if code < 0 or code > 128:  # noqa: PLR2004 -- shells add 128 to the number of a signal
            return f"[exit code {code if code > 0 else 128 - code}{_signal(abs(code) % 128)}]"
        case _:
            return f"[exit code {code}]"


def _signal(number: int) -> str:
    with suppress(ValueError):
        return f", ended by {signal.Signals(number).name}"
    return ""
