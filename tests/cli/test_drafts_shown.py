"""An answer that grows on the screen while the agent writes it: at the prompt, and in `nanoclaw chat`."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from attrs import frozen

from tests.cli.commands import GUARD_S, NANOCLAW, environment, running, wait_ready
from tests.cli.terminals import COLUMNS, CTRL_C, ENTER, ROWS, AtTerminal, at_terminal, on_terminal

Where = Callable[["Writer", Path], AbstractContextManager[AtTerminal]]
WRITING_RUNNER = Path(__file__).with_name("writing_runner.py")


@frozen
class Writer:
    """The agent's side: what it writes and answers."""

    pipe: Path
    descriptor: int

    @property
    def command(self) -> str:
        """Return the command of the runner whose agent this is."""
        return f"{sys.executable} -P {WRITING_RUNNER} {self.pipe}"

    def does(self, **step: str) -> None:
        """Take a step: a draft, an answer or a failure."""
        os.write(self.descriptor, json.dumps(step).encode() + b"\n")


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    pipe = tmp_path / "steps"
    os.mkfifo(pipe)
    descriptor = os.open(pipe, os.O_RDWR)
    yield Writer(pipe, descriptor)
    os.close(descriptor)


@contextmanager
def prompt(writer: Writer, home: Path) -> Iterator[AtTerminal]:
    """Run a host at a terminal."""
    with at_terminal(home, NANOCLAW_RUNTIME_COMMAND=writer.command) as terminal:
        yield terminal


@contextmanager
def client(writer: Writer, home: Path) -> Iterator[AtTerminal]:
    """Run a host without a terminal, and `nanoclaw chat` at one."""
    with running(home, "--headless", NANOCLAW_RUNTIME_COMMAND=writer.command) as host:
        wait_ready(host)
        with on_terminal("chat", "--home", str(home)) as terminal:
            yield terminal


def asked(terminal: AtTerminal) -> None:
    """Ask something."""
    terminal.draws(lambda lines: lines[-1] == ">")
    terminal.type("hello" + ENTER)
    terminal.draws(lambda lines: "> hello" in lines)


@frozen
class Ends:
    """Fits a screen that ends with these lines, with none of them a second time above."""

    last: Sequence[str]

    def __call__(self, lines: Sequence[str]) -> bool:
        above, below = lines[: -len(self.last)], lines[-len(self.last) :]
        return list(below) == list(self.last) and not set(self.last) - {""} & set(above)


def end(*last: str) -> Ends:
    return Ends(last)


@pytest.mark.parametrize("where", [prompt, client])
def test_an_answer_grows_below_the_question_and_the_final_text_takes_its_place(
    tmp_path: Path, writer: Writer, where: Where
) -> None:
    with where(writer, tmp_path / "home") as terminal:
        asked(terminal)
        writer.does(draft="one")
        terminal.draws(end("> hello", "NanoClaw  one", ">"))
        terminal.type("meanwhile")
        writer.does(draft="one\ntwo")
        terminal.draws(end("> hello", "NanoClaw  one", "two", "> meanwhile"))
        writer.does(answer="one\ntwo\nthree")
        terminal.draws(end("> hello", "NanoClaw  one", "two", "three", "> meanwhile"))
        terminal.type(ENTER)
        writer.does(answer="again")
        terminal.draws(end("> hello", "NanoClaw  one", "two", "three", "> meanwhile", "NanoClaw  again", ">"))
        terminal.type(CTRL_C)
        assert terminal.left() == 0


@pytest.mark.parametrize("where", [prompt, client])
def test_of_a_long_draft_the_last_lines_are_shown(tmp_path: Path, writer: Writer, where: Where) -> None:
    with where(writer, tmp_path / "home") as terminal:
        asked(terminal)
        lines = [f"line {n}" for n in range(100)]
        writer.does(draft="\n".join(lines[:-1]))
        terminal.draws(lambda screen: screen[-3:] == ["line 97", "line 98", ">"])
        writer.does(draft="\n".join(lines))
        terminal.draws(end(*lines[-ROWS + 4 :], ">"))
        writer.does(answer="\n".join(lines))
        terminal.draws(end(*lines[-ROWS + 2 :], ">"))


def test_a_draft_cannot_control_the_terminal_and_is_wrapped_like_a_message(
    tmp_path: Path, writer: Writer
) -> None:
    with prompt(writer, tmp_path / "home") as terminal:
        asked(terminal)
        text = "\x1b[2Jred\x07 " + "漢" * COLUMNS
        writer.does(draft=text)
        shown = ["NanoClaw  �[2Jred� " + "漢" * 40, "漢" * 50, "漢" * 10, ">"]
        terminal.draws(end("> hello", *shown))
        writer.does(answer=text)
        terminal.draws(end("> hello", *shown))


@pytest.mark.parametrize("where", [prompt, client])
def test_the_draft_of_an_answer_that_is_lost_disappears(tmp_path: Path, writer: Writer, where: Where) -> None:
    with where(writer, tmp_path / "home") as terminal:
        asked(terminal)
        writer.does(draft="one\ntwo")
        terminal.draws(end("> hello", "NanoClaw  one", "two", ">"))
        writer.does(fail="the network is down")
        terminal.draws(lambda lines: "two" not in lines and lines[-2:] == ["NanoClaw is typing …", ">"])


def test_the_draft_disappears_with_its_host(tmp_path: Path, writer: Writer) -> None:
    home = tmp_path / "home"
    with running(home, "--headless", NANOCLAW_RUNTIME_COMMAND=writer.command) as host:
        wait_ready(host)
        with on_terminal("chat", "--home", str(home)) as terminal:
            asked(terminal)
            writer.does(draft="one")
            terminal.draws(end("> hello", "NanoClaw  one", ">"))
            host.kill()
            terminal.draws(lambda lines: "the host has stopped" in lines[-2] and "NanoClaw  one" not in lines)


def test_ctrl_c_ends_the_prompt_and_leaves_no_draft(tmp_path: Path, writer: Writer) -> None:
    with prompt(writer, tmp_path / "home") as terminal:
        asked(terminal)
        writer.does(draft="one\ntwo")
        terminal.draws(end("> hello", "NanoClaw  one", "two", ">"))
        terminal.type(CTRL_C)
        assert terminal.left() == 0
        terminal.draws(end("> hello", ">"))


def test_a_pipe_gets_only_final_texts(tmp_path: Path, writer: Writer) -> None:
    writer.does(draft="one")
    writer.does(draft="one two")
    writer.does(answer="one two three")
    home = tmp_path / "home"
    with running(home, "--headless", NANOCLAW_RUNTIME_COMMAND=writer.command) as host:
        wait_ready(host)
        said = subprocess.run(
            [*NANOCLAW, "chat", "--home", str(home), "hello"],
            capture_output=True,
            text=True,
            env=environment(),
            timeout=GUARD_S,
            check=False,
        )
    assert said.stdout == "one two three\n"
