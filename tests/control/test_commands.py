"""The commands that query a running host, which is a process of its own."""

import json
import os
import pty
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pexpect.fdpexpect  # type: ignore[import-untyped]  # it ships no types
import pytest

from nanoclaw.channels.terminal.pipe import Pipe
from nanoclaw.cli import main
from nanoclaw.cli.remote import LEFT, Remote
from nanoclaw.control.address import socket_path
from nanoclaw.records import NotAccepted
from nanoclaw.system.sockets import nameable
from tests.cli.commands import GUARD_S, NANOCLAW, Result, call, environment, running, wait_ready

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return the home of a running host without a terminal."""
    home = tmp_path_factory.mktemp("home")
    with running(home, "--headless") as process:
        wait_ready(process)
        yield home
        process.send_signal(signal.SIGTERM)
        assert process.wait(GUARD_S) == 0


def nanoclaw(home: Path, command: str, *arguments: str, text: str | None = None) -> Result:
    """Run a command to its end; only `chat`, which reads its input, is a process of its own."""
    if command != "chat":
        return call(command, "--home", str(home), *arguments)
    done = subprocess.run(
        [*NANOCLAW, command, "--home", str(home), *arguments],
        input=text,
        stdin=subprocess.DEVNULL if text is None else None,
        capture_output=True,
        text=True,
        env=environment(),
        timeout=GUARD_S,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return Result(done.returncode, done.stdout, done.stderr)


def test_chats_at_the_same_time_get_their_own_replies(home: Path) -> None:
    results = dict[str, Result]()

    def chat(name: str) -> None:
        results[name] = nanoclaw(home, "chat", text=f"{name} 1\n{name} 2\n")

    threads = [threading.Thread(target=chat, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {name: Result(0, f"echo: {name} 1\necho: {name} 2\n", "") for name in ("one", "two")}


def test_the_log_of_a_session_is_selected_by_a_prefix_of_its_id(home: Path) -> None:
    assert nanoclaw(home, "chat", "hello").code == 0
    [session] = json.loads(nanoclaw(home, "status", "--json").output)["living_sessions"]
    done = nanoclaw(home, "logs", "--json", session["id"][:8])
    events = [json.loads(line) for line in done.output.splitlines()]
    assert "session.runner_started" in {event["event"] for event in events}
    assert {event["session"] for event in events} == {session["id"]}
    chat = nanoclaw(home, "logs", "--json", "cli:terminal")
    assert session["id"] in chat.output
    refused = nanoclaw(home, "logs", "sess-nobody")
    assert (refused.code, refused.output) == (2, "")
    assert "there is no session 'sess-nobody'" in refused.stderr


@pytest.mark.parametrize("command", ["logs", "status"])
def test_a_closed_output_is_not_reported_as_an_error(home: Path, command: str) -> None:
    unread, output = os.pipe()
    os.close(unread)
    try:
        done = subprocess.run(
            [*NANOCLAW, command, "--home", str(home)],
            stdout=output,
            stderr=subprocess.PIPE,
            env=environment(),
            timeout=GUARD_S,
            check=False,
        )
    finally:
        os.close(output)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("command", [("chat", "hello"), ("status",), ("tree",), ("logs",)])
def test_without_a_host_one_line_says_what_to_do(
    tmp_path: Path, command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command[0], "--home", str(tmp_path), *command[1:]]) == 2
    data = tmp_path / "data"
    line = f"nanoclaw: no host is running on {data}; start one with `nanoclaw run`\n"
    assert capsys.readouterr() == ("", line)


def test_the_socket_of_a_dead_host_does_not_count_as_a_host(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    path = socket_path(tmp_path / "data")
    with socket.socket(socket.AF_UNIX) as dead, nameable(path) as name:
        dead.bind(name)
    assert main(["status", "--home", str(tmp_path)]) == 2
    assert "no host is running" in capsys.readouterr().err


def test_a_host_with_another_protocol_is_distinguished_from_no_host(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    with socket.socket(socket.AF_UNIX) as other, nameable(socket_path(tmp_path / "data")) as name:
        other.bind(name)
        other.listen()

        def greet() -> None:
            client, _ = other.accept()
            with client:
                client.sendall(b'{"nanoclaw": 2, "version": "9.0"}\n')
                client.recv(1)

        thread = threading.Thread(target=greet)
        thread.start()
        assert main(["status", "--home", str(tmp_path)]) == 2
        thread.join()
    assert "is nanoclaw 9.0, which speaks another version of the protocol" in capsys.readouterr().err


def test_an_unanswered_message_is_reported_with_the_reason(tmp_path: Path) -> None:
    with running(tmp_path, "--headless", NANOCLAW_RUNTIME_COMMAND="/no/runner") as host:
        wait_ready(host)
        done = nanoclaw(tmp_path, "chat", "hello", "--timeout", "0.5")
        late = (
            "no answer within 0.5 s; it is kept: `nanoclaw status` says what it waits for, and "
            "`nanoclaw chat` shows the answer"
        )
        assert (done.code, done.output, done.errors) == (1, "", [f"unanswered: hello ({late})"])


def test_a_host_that_stops_meanwhile_is_given_as_the_reason(tmp_path: Path) -> None:
    with running(tmp_path, "--headless", NANOCLAW_RUNTIME_COMMAND="/no/runner") as host:
        wait_ready(host)
        chat = [*NANOCLAW, "chat", "--home", str(tmp_path), "hello"]
        with subprocess.Popen(chat, stderr=subprocess.PIPE, env=environment()) as waiting:
            assert host.stderr is not None
            next(line for line in host.stderr if b"session.runner_failed" in line)
            host.send_signal(signal.SIGTERM)
            _, errors = waiting.communicate(timeout=GUARD_S)
    left = "the host has stopped; if it has the message, it answers when it runs again"
    assert (waiting.returncode, errors.decode()) == (1, f"nanoclaw: unanswered: hello ({left})\n")


def test_at_a_terminal_there_is_a_prompt(home: Path) -> None:
    master, tty = pty.openpty()
    try:
        with subprocess.Popen(
            [*NANOCLAW, "chat", "--home", str(home)],
            stdin=tty,
            stdout=tty,
            stderr=tty,
            env=environment(TERM="xterm-256color"),
        ) as process:
            screen = pexpect.fdpexpect.fdspawn(master, timeout=GUARD_S)
            screen.expect_exact("NanoClaw is here")
            screen.expect_exact("> ")
            screen.send("hello\r")
            screen.expect_exact("echo: hello")
            screen.send("\x04")
            assert process.wait(GUARD_S) == 0
    finally:
        os.close(tty)
        os.close(master)


def test_the_prompt_waits_for_a_host_that_stops_and_connects_again(tmp_path: Path) -> None:
    master, tty = pty.openpty()
    try:
        with running(tmp_path, "--headless") as host:
            wait_ready(host)
            with subprocess.Popen(
                [*NANOCLAW, "chat", "--home", str(tmp_path)],
                stdin=tty,
                stdout=tty,
                stderr=tty,
                env=environment(TERM="xterm-256color"),
            ) as process:
                screen = pexpect.fdpexpect.fdspawn(master, timeout=GUARD_S)
                screen.expect_exact("NanoClaw (provider echo: it repeats what you type; `nanoclaw setup`")
                screen.expect_exact("answers here.")
                screen.expect_exact("> ")
                host.send_signal(signal.SIGTERM)
                screen.expect_exact("the host has stopped; waiting for it to run again")
                with running(tmp_path, "--headless"):
                    screen.expect_exact("the host runs again")
                    screen.send("hello\r")
                    screen.expect_exact("echo: hello")
                    screen.send("\x04")
                    assert process.wait(GUARD_S) == 0
    finally:
        os.close(tty)
        os.close(master)


def test_a_reminder_waits_across_restarts_until_somebody_is_shown_it(tmp_path: Path) -> None:
    soon = json.dumps({"prompt": "drink water", "process_after": "3s"})
    with running(tmp_path, "--headless") as host:
        wait_ready(host)
        assert host.stderr is not None
        while "drink water" in nanoclaw(tmp_path, "chat", f"!schedule_task {soon}").output:
            pass  # this machine is slow: the client was still there to be shown it
        next(line for line in host.stderr if b"delivery.held" in line)
    with running(tmp_path, "--headless") as host:  # it was killed, and is again
        wait_ready(host)
        assert host.stderr is not None
        next(line for line in host.stderr if b"delivery.held" in line)
        [session] = json.loads(nanoclaw(tmp_path, "status", "--json").output)["living_sessions"]
        assert session["details"]["oldest_delivery"]["attempts"] == 0
    with running(tmp_path, "--headless") as host:
        wait_ready(host)
        shown = nanoclaw(tmp_path, "chat", "hello").output.splitlines()
        assert re.fullmatch(r"\[reminder, .*\] echo: drink water", shown[0])
        assert shown[1:] == ["echo: hello"]
        assert nanoclaw(tmp_path, "chat", "again").output == "echo: again\n"


def test_a_reply_that_could_not_be_written_is_shown_by_the_next_chat(tmp_path: Path) -> None:
    with running(tmp_path, "--headless") as host:
        wait_ready(host)
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                [*NANOCLAW, "chat", "--home", str(tmp_path), "hello"],
                stdin=subprocess.DEVNULL,
                stdout=full,
                stderr=subprocess.PIPE,
                env=environment(),
                timeout=GUARD_S,
                check=False,
            )
        why = "standard output cannot be written: No space left on device"
        said = f"unanswered: hello ({why}; the answer is kept, and `nanoclaw chat` shows it)"
        assert (done.returncode, done.stderr.decode()) == (1, f"nanoclaw: {said}\n")
        assert nanoclaw(tmp_path, "chat", "again").output == "echo: hello\necho: again\n"


@pytest.mark.parametrize("text", ["", "  \n "])
def test_an_empty_text_is_refused(home: Path, text: str) -> None:
    done = nanoclaw(home, "chat", text)
    [error] = done.errors
    assert (done.code, done.output) == (2, "")
    assert "the text is empty: say something, or leave it out for a prompt" in error


async def test_a_line_typed_while_no_host_runs_is_not_said_to_be_there_perhaps() -> None:
    remote = Remote(Pipe())
    remote.left = LEFT
    with pytest.raises(NotAccepted, match=r"^the host is not running$"):
        await remote.desk.say("hello")


def test_a_question_in_a_one_shot_chat_says_how_to_answer_it(home: Path) -> None:
    card = json.dumps({"title": "Tea", "question": "Which?", "options": ["green", "black"]})
    asked = nanoclaw(home, "chat", f"!ask_user_question {card}")
    assert asked.code == 0
    assert asked.output.splitlines()[-1] == f"For example: nanoclaw --home {home} chat 1"
    assert nanoclaw(home, "chat", "2").output == "black\n"


@pytest.mark.parametrize("form", [("status",), ("logs",), ("chat", "--help"), ("--version",)])
@pytest.mark.parametrize(("output", "code"), [(">&-", 2), (">/dev/full", 2), ("| true", 141)])
def test_an_unwritable_output_gives_one_line_or_none(
    home: Path, form: tuple[str, ...], output: str, code: int
) -> None:
    if output == ">&-" and form[-1] in {"--help", "--version"}:
        form = ("config", "show")
    gone = "sleep 0.3; " if output == "| true" else ""
    command = f"set -o pipefail; {{ {gone}{' '.join([*NANOCLAW, *form])}; }} {output}"
    done = subprocess.run(
        ["/usr/bin/env", "bash", "-c", command],
        capture_output=True,
        text=True,
        env=environment(NANOCLAW_HOME=str(home)),
        timeout=GUARD_S,
        check=False,
    )
    assert (done.returncode, len(done.stderr.splitlines())) == (code, 0 if code == 141 else 1)
    assert code == 141 or done.stderr.startswith("nanoclaw: standard output cannot be written")
