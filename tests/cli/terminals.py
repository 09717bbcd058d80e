"""`nanoclaw run` at its own terminal: typed input and screen contents."""

import os
import pty
import subprocess
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pexpect.fdpexpect  # type: ignore[import-untyped]  # it ships no types
from attrs import frozen

from tests.cli.commands import GUARD_S, NANOCLAW, chosen, environment

CTRL_C, CTRL_D, ENTER, UP, DELETE = "\x03", "\x04", "\r", "\x1b[A", "\x1b[3~"
PASTE = "\x1b[200~{}\x1b[201~"


@frozen
class AtTerminal:
    """A running host, and the terminal's other end."""

    process: subprocess.Popen[bytes]
    screen: Any
    """pexpect's."""
    tty: int

    def see(self, text: str) -> None:
        """Wait until a text is shown."""
        self.screen.expect_exact(text)

    def see_prompt(self) -> None:
        """Wait until the prompt accepts input."""
        self.see("\x1b[?2004h")  # asks the terminal to mark what is pasted
        self.see("> ")

    def type(self, keys: str) -> None:
        """Press keys."""
        self.screen.send(keys)

    def left(self) -> int:
        """Wait until the host has ended; return its exit code."""
        return self.process.wait(GUARD_S)


@contextmanager
def at_terminal(
    home: Path,
    *arguments: str,
    command: str = "run",
    asks: bool = False,
    stderr: int | None = None,
    **variables: str,
) -> Iterator[AtTerminal]:
    """Run with stdin, stdout and stderr on one new terminal; killed at the end, if it still runs.

    `run` in a new home asks nothing, for its provider is chosen; with `asks` it is not.
    """
    own = {} if asks or command != "run" else chosen(home)
    master, tty = pty.openpty()
    termios.tcsetwinsize(tty, (24, 100))
    process = subprocess.Popen(
        [*NANOCLAW, command, "--home", str(home), *arguments],
        stdin=tty,
        stdout=tty,
        stderr=tty if stderr is None else stderr,
        env=environment(TERM="xterm-256color", **{**own, **variables}),
        start_new_session=True,
    )
    try:
        yield AtTerminal(process, pexpect.fdpexpect.fdspawn(master, encoding="utf-8", timeout=GUARD_S), tty)
    finally:
        process.kill()
        process.wait()
        os.close(tty)
        os.close(master)
