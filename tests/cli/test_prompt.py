import os
import signal
import stat
import sys
import termios
from pathlib import Path

import pytest
import trio

from nanoclaw.channels.terminal.prompt import Prompt
from nanoclaw.channels.terminal.terminal import harmless
from nanoclaw.records import NotAccepted, Routed
from tests.cli.commands import rows
from tests.cli.terminals import CTRL_C, CTRL_D, DELETE, ENTER, PASTE, UP, at_terminal

HELD_RUNNER = Path(__file__).with_name("held_runner.py")
STOP_S = 10.0
"""Generous: a stop takes half a second on an idle machine."""


def test_a_typed_message_shows_the_agent_typing_and_then_its_answer(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    held = f"{sys.executable} -P {HELD_RUNNER} {gate}"
    with at_terminal(tmp_path / "home", NANOCLAW_RUNTIME_COMMAND=held) as terminal:
        terminal.see("NanoClaw is here. Type a message and press Enter; Ctrl-C or Ctrl-D ends.")
        terminal.see_prompt()
        terminal.type("hello" + ENTER)
        terminal.see("NanoClaw is typing …")
        gate.write_bytes(b"go on")
        terminal.see("echo: hello")
        terminal.type(CTRL_C)
        assert terminal.left() == 0


def test_arrow_up_recalls_lines_typed_in_an_earlier_run(tmp_path: Path) -> None:
    with at_terminal(tmp_path) as terminal:
        terminal.see_prompt()
        terminal.type("remember me" + ENTER)
        terminal.see("echo: remember me")
        terminal.type(CTRL_D)
        assert terminal.left() == 0
    assert stat.S_IMODE((tmp_path / "history").stat().st_mode) == 0o600
    with at_terminal(tmp_path) as terminal:
        terminal.see_prompt()
        terminal.type(UP)
        terminal.see("remember me")
        terminal.type(ENTER)
        terminal.see("echo: remember me")
    assert rows(tmp_path / "data/v2.db", "SELECT count(*) FROM sessions") == [(1,)]


@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM"])
def test_it_stops_gracefully_and_restores_the_terminal(tmp_path: Path, how: str) -> None:
    with at_terminal(tmp_path) as terminal:
        before = termios.tcgetattr(terminal.tty)
        terminal.see_prompt()
        terminal.type("half a mess")
        terminal.see("half a mess")
        assert termios.tcgetattr(terminal.tty) != before  # keys come one by one
        if how == "SIGTERM":
            terminal.process.send_signal(signal.SIGTERM)
        else:
            terminal.type(CTRL_C)
        assert terminal.process.wait(STOP_S) == 0
        assert termios.tcgetattr(terminal.tty) == before


def test_several_pasted_lines_are_one_message(tmp_path: Path) -> None:
    with at_terminal(tmp_path) as terminal:
        terminal.see_prompt()
        terminal.type(PASTE.format("one\ntwo") + ENTER)
        terminal.see("echo: one")
        terminal.see("two")
        terminal.type("next" + ENTER)
        terminal.see("echo: next")


def test_invalid_utf_8_is_refused_and_kept_for_editing(tmp_path: Path) -> None:
    with at_terminal(tmp_path) as terminal:
        terminal.see_prompt()
        os.write(terminal.screen.fileno(), b"caf\xe9" + ENTER.encode())
        terminal.see("not UTF-8")
        terminal.type(DELETE + "e" + ENTER)  # it put the cursor there
        terminal.see("echo: cafe")


def test_the_screen_shows_only_log_lines_that_a_user_must_read(tmp_path: Path) -> None:
    with at_terminal(tmp_path, NANOCLAW_RUNTIME_COMMAND="/no/runner") as terminal:
        terminal.see("this runtime isolates nothing")
        terminal.see_prompt()
        assert "host.ready" not in terminal.screen.before
        terminal.type("hello" + ENTER)
        terminal.see("the runner does not start: /no/runner")
        assert "session.runner_started" not in terminal.screen.before


def test_logs_redirected_to_a_file_are_complete_and_not_on_the_screen(tmp_path: Path) -> None:
    file = tmp_path / "log"
    with file.open("wb") as log, at_terminal(tmp_path / "home", stderr=log.fileno()) as terminal:
        terminal.see_prompt()
        assert "isolates nothing" not in terminal.screen.before
        terminal.type("hello" + ENTER)
        terminal.see("echo: hello")
        terminal.type(CTRL_C)
        assert terminal.left() == 0
    assert '"event": "host.ready"' in file.read_text()


async def test_a_message_that_could_not_be_stored_is_an_error_with_advice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Full:
        async def say(self, text: str) -> Routed:
            if text == "dropped":
                return Routed(dropped="no agent is wired to this chat")
            raise NotAccepted("the disk is full; free some space")

    said, lines = trio.open_memory_channel[str](2)
    for line in ("lost", "dropped"):
        said.send_nowait(line)
    said.close()
    await Prompt("NanoClaw", tmp_path / "history")._say(Full(), lines)
    shown = capsys.readouterr().out
    assert "not sent: the disk is full; free some space; fix this, then press arrow-up" in shown
    assert "no agent will answer this: no agent is wired to this chat" in shown


def test_an_agents_text_cannot_control_the_terminal() -> None:
    assert harmless("a\x1b[2Jb\x07\x9bc\ud800\r") == "a\ufffd[2Jb\ufffd\ufffdc\ufffd\ufffd"
    assert harmless("tab\tline\nprüfen 漢字 👍🏽") == "tab\tline\nprüfen 漢字 👍🏽"
