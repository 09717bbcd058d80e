"""Commands at their own terminal: typed input and screen contents."""

import os
import pty
import subprocess
import termios
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from select import select
from time import monotonic
from typing import Any

import pexpect.fdpexpect  # type: ignore[import-untyped]  # it ships no types
import pyte
from attrs import frozen

from tests.cli.commands import GUARD_S, NANOCLAW, chosen, environment

CTRL_C, CTRL_D, ENTER, UP, DELETE = "\x03", "\x04", "\r", "\x1b[A", "\x1b[3~"
ROWS, COLUMNS = 24, 100
PASTE = "\x1b[200~{}\x1b[201~"


@frozen
class AtTerminal:
    """A running host, and the terminal's other end."""

    process: subprocess.Popen[bytes]
    screen: Any
    """pexpect's."""
    tty: int
    _drawn: Any
    """pyte's, which draws what `draws` reads. A test that uses it does not use `see`."""

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

    def draws(self, fits: Callable[[Sequence[str]], bool]) -> None:
        """Wait until the lines of the screen fit. Trailing blanks and empty lines at its end do not count."""
        deadline = monotonic() + GUARD_S
        while not fits(self.lines()):
            if not select([self.screen], [], [], max(deadline - monotonic(), 0))[0]:
                raise AssertionError("\n".join(self.lines()))
            self._drawn.feed(os.read(self.screen.fileno(), 65536))

    def lines(self) -> Sequence[str]:
        """Return the lines of the screen, as far as `draws` has read them."""
        return "\n".join(line.rstrip() for line in self._drawn.listener.display).rstrip().split("\n")


@contextmanager
def at_terminal(
    home: Path,
    *arguments: str,
    command: str = "run",
    asks: bool = False,
    stderr: int | None = None,
    **variables: str,
) -> Iterator[AtTerminal]:
    """Run a command on a terminal, as `on_terminal` does.

    `run` in a new home asks nothing, for its provider is chosen; with `asks` it is not.
    """
    own = {} if asks or command != "run" else chosen(home)
    variables = {**own, **variables}
    with on_terminal(command, "--home", str(home), *arguments, stderr=stderr, **variables) as terminal:
        yield terminal


@contextmanager
def on_terminal(*arguments: str, stderr: int | None = None, **variables: str) -> Iterator[AtTerminal]:
    """Run a command with stdin, stdout and stderr on a new terminal; killed at the end, if it still runs."""
    master, tty = pty.openpty()
    termios.tcsetwinsize(tty, (ROWS, COLUMNS))
    process = subprocess.Popen(
        [*NANOCLAW, *arguments],
        stdin=tty,
        stdout=tty,
        stderr=tty if stderr is None else stderr,
        env=environment(TERM="xterm-256color", **variables),
        start_new_session=True,
    )
    drawn = pyte.ByteStream(pyte.Screen(COLUMNS, ROWS))
    try:
        screen = pexpect.fdpexpect.fdspawn(master, encoding="utf-8", timeout=GUARD_S)
        yield AtTerminal(process, screen, tty, drawn)
    finally:
        process.kill()
        process.wait()
        os.close(tty)
        os.close(master)
