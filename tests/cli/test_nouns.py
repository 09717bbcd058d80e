"""The commands of the nouns, on the files and through a running host."""

import fcntl
import json
import os
import pty
import signal
import subprocess
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pexpect.fdpexpect  # type: ignore[import-untyped]  # it ships no types
import pytest
from click.shell_completion import BashComplete

from nanoclaw.cli import main, performing
from nanoclaw.cli.root import nanoclaw as root
from nanoclaw.cli.tables import shown
from tests.cli.commands import GUARD_S, NANOCLAW, Result, begun, environment, rows, running, wait_ready

TRIGGER = '{"pattern": "^help"}'
FORMS = (
    ("agents", "create", "helper", "--name", "Helper"),
    ("chats", "create", "cli:notes", "--name", "Notes"),
    ("wirings", "create", "cli:notes", "helper", "--session-mode", "per-thread", "--trigger", TRIGGER),
    ("users", "create", "tg:1", "--name", "Ann"),
    ("roles", "grant", "tg:1", "admin", "--agent", "helper"),
    ("members", "add", "tg:2", "helper"),
    ("destinations", "add", "helper", "notes", "--chat", "cli:notes"),
)  # fmt: skip


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a home that was begun, and has nothing in it."""
    return begun(tmp_path / "home")


@pytest.fixture
def nowhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> "Shell":
    """Return commands on a home that does not exist."""
    return Shell(tmp_path / "nowhere", capsys)


class Shell:
    """Commands on one home, within this process."""

    def __init__(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.home = home
        self._capsys = capsys

    def __call__(self, *words: str) -> Result:
        try:
            code = main([*words, "--home", str(self.home)])
        except SystemExit as end:
            code = int(str(end.code))
        captured = self._capsys.readouterr()
        return Result(code, captured.out, captured.err)

    def json(self, *words: str) -> Any:
        done = self(*words, "--json")
        assert (done.code, done.stderr) == (0, "")
        return json.loads(done.output)


class Program(Shell):
    """Commands as separate processes, which take half a second each. Chat needs one."""

    def __call__(self, *words: str) -> Result:
        done = subprocess.run(
            [*NANOCLAW, *words, "--home", str(self.home)],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            env=environment(),
            timeout=GUARD_S,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def program(home: Path, capsys: pytest.CaptureFixture[str]) -> Program:
    return Program(home, capsys)


@pytest.fixture
def nanoclaw(home: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(home, capsys)


def forms(nanoclaw: Shell) -> None:
    for words in FORMS:
        done = nanoclaw(*words)
        assert (done.code, done.stderr) == (0, ""), words
    [member] = nanoclaw.json("members", "list", "helper")
    assert member["user_id"] == "tg:2"
    assert nanoclaw.json("tasks", "list") == nanoclaw.json("sessions", "list") == []
    for table in ("agents", "chats", "wirings", "users", "roles", "members", "destinations"):
        listed = nanoclaw(table, "list")
        assert (listed.code, listed.stderr) == (0, "")
        assert len(listed.output.splitlines()) > 1


def test_commands_work_on_the_files_without_a_host(nanoclaw: Shell) -> None:
    forms(nanoclaw)
    assert (nanoclaw.home / "groups/helper/workspace").is_dir()
    assert (nanoclaw.home / "groups/main/workspace/CLAUDE.md").exists(), "the first run is not spoilt"
    assert rows(nanoclaw.home / "data/v2.db", "SELECT role FROM user_roles") == [("admin",)]


def test_dates_are_shown_in_the_configured_zone(nanoclaw: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    assert nanoclaw("agents", "create", "helper").code == 0
    created = nanoclaw.json("agents", "show", "helper")["created_at"]
    monkeypatch.setenv("NANOCLAW_TIMEZONE", "Asia/Kathmandu")
    local = datetime.fromisoformat(created).astimezone(ZoneInfo("Asia/Kathmandu"))
    assert f"{local:%Y-%m-%d %H:%M:%S}" in nanoclaw("agents", "show", "helper").output


def test_a_provider_that_answers_nobody_is_noted(nanoclaw: Shell) -> None:
    made = nanoclaw("agents", "create", "helper", "--provider", "nosuch")
    changed = nanoclaw("agents", "set", "helper", "--provider", "nosuch", "--json")
    for done in (made, changed):
        [note] = done.errors
        assert done.code == 0
        assert note.startswith("messages will not be answered: ")
        assert "there is no provider 'nosuch'. Known: anthropic, claude, echo, openai, scripted." in note
    assert nanoclaw("agents", "set", "helper", "--provider", "echo").errors == []


@pytest.mark.slow
def test_a_running_host_notes_a_provider_that_answers_nobody(program: Program) -> None:
    with running(program.home, "--headless") as host:
        wait_ready(host)
        [note] = program("agents", "create", "helper", "--provider", "nosuch").errors
        assert note.startswith("messages will not be answered: ")
        host.send_signal(signal.SIGTERM)
        assert host.wait(GUARD_S) == 0


@pytest.mark.slow
def test_the_choices_of_a_question_are_listed_by_their_labels(program: Program, nanoclaw: Shell) -> None:
    card = json.dumps({"title": "Tea", "question": "Which?", "options": ["green", "black"]})
    with running(program.home, "--headless") as host:
        wait_ready(host)
        assert program("chat", f"!ask_user_question {card}").code == 0
        assert "green | black" in nanoclaw("questions", "list").output
        host.send_signal(signal.SIGTERM)
        assert host.wait(GUARD_S) == 0


@pytest.mark.slow
def test_commands_do_the_same_through_a_running_host(nanoclaw: Shell) -> None:
    with running(nanoclaw.home, "--headless") as host:
        wait_ready(host)
        forms(nanoclaw)
        refused = nanoclaw("agents", "delete", "helper", "--yes")
        assert (refused.code, refused.output, len(refused.errors)) == (1, "", 1)
        host.send_signal(signal.SIGTERM)
        assert host.wait(GUARD_S) == 0
    assert [one["folder"] for one in nanoclaw.json("agents", "list")] == ["main", "helper"]


@pytest.mark.slow
def test_a_task_can_be_found_followed_and_cancelled(program: Program, nanoclaw: Shell) -> None:
    with running(program.home, "--headless") as host:
        wait_ready(host)
        asked = '!schedule_task {"prompt": "tea", "recurrence": "@every 3600"}'
        assert program("chat", asked).code == 0
        [task] = nanoclaw.json("tasks", "list")
        assert nanoclaw("tasks", "pause", task["id"]).code == 0
        assert nanoclaw.json("tasks", "show", task["id"])["status"] == "paused"
        assert nanoclaw("tasks", "pause", task["id"]).errors == ["the task is paused already"]
        assert nanoclaw("tasks", "resume", task["id"]).code == 0
        with_tasks = nanoclaw.json("sessions", "list")
        assert [one["id"] for one in with_tasks] == [task["session_id"]]
        [message] = nanoclaw.json("messages", "list")
        assert (message["state"], message["text"]) == ("delivered", asked)
        shown = nanoclaw.json("messages", "show", message["id"][:12])
        assert shown["replies"][0]["status"] == "delivered"
        assert nanoclaw("sessions", "restart", "cli:terminal").code == 0
        assert program("chat", "still there?").output == "echo: still there?\n"
        host.send_signal(signal.SIGTERM)
        assert host.wait(GUARD_S) == 0
    assert nanoclaw("tasks", "cancel", task["id"], "--yes").code == 0
    assert nanoclaw.json("tasks", "list") == []


@pytest.mark.slow
def test_a_task_that_is_run_now_appears_in_its_history(program: Program, nanoclaw: Shell) -> None:
    with running(program.home, "--headless") as host:
        wait_ready(host)
        program("chat", '!schedule_task {"prompt": "tea", "recurrence": "@every 3600"}')
        [task] = nanoclaw.json("tasks", "list")
        assert nanoclaw("tasks", "run", task["id"]).code == 0
        program("chat", "wait for the turn before this one")
        [run] = nanoclaw.json("tasks", "history", task["id"])
        assert (run["outcome"], run["tries"]) == ("completed", 1)
        assert run["duration_s"] >= 0


def test_an_owned_data_directory_without_an_answering_host_is_left_alone(
    nanoclaw: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(performing, "PATIENCE_S", 0.0)
    assert nanoclaw(*FORMS[0]).code == 0
    with (nanoclaw.home / "data/owner").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = nanoclaw("agents", "list")
    assert (done.code, done.output) == (2, "")
    [error] = done.errors
    assert "owns it, and no host answers on its control socket" in error


def test_a_read_only_home_can_be_read(nanoclaw: Shell) -> None:
    nanoclaw(*FORMS[0])
    (nanoclaw.home / "data/owner").unlink()
    (nanoclaw.home / "data/owner").mkdir()
    done = nanoclaw("agents", "list", "--json")
    assert (done.code, [one["folder"] for one in json.loads(done.output)]) == (0, ["helper"])
    [note] = done.errors
    assert note.startswith(f"{nanoclaw.home}/data/owner: ")
    assert note.endswith("it was read all the same")
    assert nanoclaw("agents", "create", "other").code == 2


def test_a_change_of_a_missing_home_is_refused_and_creates_nothing(nowhere: Shell) -> None:
    done = nowhere("agents", "create", "helper")
    assert (done.code, done.output) == (2, "")
    assert done.errors == [
        f"there is nothing in {nowhere.home}/data yet: begin with `nanoclaw run`, or correct --home"
    ]
    assert not nowhere.home.exists()


def test_a_home_whose_data_is_a_file_is_named(nowhere: Shell) -> None:
    nowhere.home.mkdir()
    (nowhere.home / "data").touch()
    done = nowhere("agents", "create", "helper")
    assert done.code == 2
    [error] = done.errors
    assert error.startswith(f"there is nothing in {nowhere.home}/data yet")


def test_reading_a_missing_home_creates_nothing_and_reports_it(nowhere: Shell) -> None:
    listed = nowhere("agents", "list", "--json")
    assert (listed.code, json.loads(listed.output)) == (0, [])
    empty = f"there is nothing in {nowhere.home}/data yet: begin with `nanoclaw run`, or correct --home"
    assert listed.errors == [empty]
    assert nowhere("agents", "show", "main").errors == [empty, "there is no agent 'main'"]
    assert not nowhere.home.exists()


def test_path_options_may_precede_the_noun(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--home", str(home), "agents", "create", "helper"]) == 0
    assert main(["agents", "--home", str(home), "show", "helper"]) == 0
    assert (home / "groups/helper").is_dir()
    assert main(["--home", "/nowhere", "agents", "show", "helper", "--home", str(home)]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("memebrs", "list"), "did you mean members?"),
        (("members", "lst"), "did you mean list?"),
        (("members",), "a command is missing"),
        (("members", "add", "tg:1"), "AGENT is missing"),
        (("members", "add", "tg:1", "helper", "more"), "unexpected extra argument"),
        (("members", "list", "--jsno"), "did you mean --json?"),
        (("roles", "grant", "tg:1", "emperor"), "must be one of owner, admin"),
        (("wirings", "create", "a", "b", "--trigger", "{"), "must be a JSON object"),
        (("wirings", "create", "a", "b", "--trigger", "[]"), "must be a JSON object"),
        (("wirings", "create", "a", "b", "--priority", "high"), "not a valid integer"),
        (("agents", "create", "-x"), "no option -x"),
        (("agents", "create", "a\nb"), "must not contain the character U+000A"),
        (("agents", "create", ""), "folder: must not be empty"),
        (("agents", "create", "x" * 1_000_000), "at most 128 characters"),
        (("users", "create", "a\udce4b"), "U+DCE4"),
        (("agents", "set", "helper"), "there is no agent"),
        (("messages", "list", "--last", "-5"), "last: must be between 1 and 1,000, got -5"),
    ],
)
def test_a_usage_error_is_one_line(nanoclaw: Shell, words: tuple[str, ...], error: str) -> None:
    done = nanoclaw(*words)
    assert done.output == ""
    assert done.code == (1 if error.startswith("there is no") else 2)
    [line] = [each for each in done.stderr.splitlines() if "there is nothing in" not in each]
    assert error in line
    assert len(line) < 400


def test_without_a_terminal_a_destructive_command_needs_yes(
    nanoclaw: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    nanoclaw(*FORMS[0])
    with Path(os.devnull).open() as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        done = nanoclaw("agents", "delete", "helper")
    assert done.code == 2
    assert "Say --yes" in done.stderr
    assert nanoclaw("agents", "delete", "helper", "--yes").code == 0


def test_who_is_let_in_is_shown_with_each_agent_that_hears_them(nanoclaw: Shell) -> None:
    for words in FORMS[:3]:
        nanoclaw(*words)
    heads, line = nanoclaw("dropped", "admit", "cli:notes", "tg:9").output.splitlines()
    assert heads.split()[:2] == ["user", "agent"]
    assert line.split()[:2] == ["tg:9", "helper"]


def test_a_name_cannot_turn_the_cells_beside_it_around() -> None:
    rows = [{"user_id": "tg:1", "sender_name": "\u202eeva\x1b[2J"}]
    line = shown(rows, ("user_id", "sender_name"), ZoneInfo("UTC")).splitlines()[1]
    assert line.split() == ["tg:1", "<U+202E>eva\N{REPLACEMENT CHARACTER}[2J"]


def test_rights_are_listed_as_words(nanoclaw: Shell) -> None:
    for words in (*FORMS, ("members", "add", "tg:1", "helper")):
        nanoclaw(*words)
    assert "admin of helper, member of helper" in nanoclaw("users", "list").output


def test_a_person_is_linked_to_an_identity_that_has_never_written(nanoclaw: Shell) -> None:
    for words in (*FORMS, ("users", "link", "tg:1", "discord:9", "--yes")):
        assert nanoclaw(*words).code == 0
    assert nanoclaw.json("users", "show", "discord:9")["rights"] == ["admin of helper"]


def test_a_missing_thing_is_refused_before_the_confirmation_prompt(nanoclaw: Shell) -> None:
    nanoclaw(*FORMS[0])
    done = nanoclaw("users", "delete", "tg:77")
    assert (done.code, done.errors) == (1, ["there is no user 'tg:77'"])


@pytest.mark.slow
@pytest.mark.parametrize("words", [("agents", "list"), ("status",)])
def test_a_closed_output_is_reported_in_one_line(nanoclaw: Shell, words: tuple[str, ...]) -> None:
    nanoclaw(*FORMS[0])
    command = " ".join([*NANOCLAW, *words, "--home", str(nanoclaw.home)])
    done = subprocess.run(
        ["/bin/sh", "-c", f"{command} >&-"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=GUARD_S,
        check=False,
    )
    [line] = done.stderr.splitlines()
    assert done.returncode == 2
    assert line.startswith("nanoclaw: ")


@pytest.mark.parametrize(("answer", "left"), [("n", ["helper"]), ("y", [])])
def test_at_a_terminal_a_destructive_command_asks_for_confirmation(
    nanoclaw: Shell, answer: str, left: list[str]
) -> None:
    nanoclaw(*FORMS[0])
    master, tty = pty.openpty()
    command = [*NANOCLAW, "agents", "delete", "helper", "--home", str(nanoclaw.home)]
    try:
        with subprocess.Popen(command, stdin=tty, stdout=tty, stderr=tty, env=environment()) as process:
            screen = pexpect.fdpexpect.fdspawn(master, timeout=GUARD_S)
            screen.expect_exact("Delete agent helper with its members, rights and destinations? [y/N]")
            screen.send(f"{answer}\r")
            assert process.wait(GUARD_S) == (0 if left == [] else 1)
    finally:
        os.close(tty)
        os.close(master)
    assert [one["folder"] for one in nanoclaw.json("agents", "list")] == left


# -- completion


def completions(*words: str, incomplete: str = "") -> list[str]:
    complete = BashComplete(root, {}, "nanoclaw", "_NANOCLAW_COMPLETE")
    return [item.value for item in complete.get_completions(list(words), incomplete)]


def test_commands_options_and_names_are_completed(nanoclaw: Shell) -> None:
    for words in FORMS:
        nanoclaw(*words)
    at = ("--home", str(nanoclaw.home))
    assert completions(incomplete="mem") == ["members"]
    assert completions("members", incomplete="re") == ["remove"]
    assert completions("wirings", "create", "--session-mode") == ["shared", "per-thread", "agent-shared"]
    assert completions(*at, "agents", "show", incomplete="he") == ["helper"]
    assert completions(*at, "chats", "show") == ["cli:notes"]
    assert completions("--home", "/nowhere", "agents", "show") == []
    assert completions(*at, "destinations", "show", "helper", incomplete="no") == ["notes"]
    assert completions(*at, "destinations", "show", "nobody") == []
    assert completions("run", "--log-level", incomplete="w") == ["warning"]
    assert completions("run", "--runtime", incomplete="pro") == ["process"]
    assert completions(*at, "tasks", "pause") == completions(*at, "messages", "show") == []


@pytest.mark.slow
def test_bash_completes_words_with_a_colon(nanoclaw: Shell) -> None:
    for words in FORMS[:3]:
        nanoclaw(*words)
    expected = {
        "chats show cli:n": "notes",
        "wirings show cli:n": "notes=helper",
        "destinations add helper x --chat cli:": "notes",
        "wirings create cli:notes he": "helper",
        "members add tg:2 he": "helper",
    }
    program = nanoclaw.home.parent / "nanoclaw"
    program.write_text(f'#!/bin/sh\nexec {" ".join(NANOCLAW)} "$@"\n')
    program.chmod(0o755)
    script = """
    eval "$(nanoclaw completion bash)"
    compopt() { :; }
    for line in "$@"; do
      COMP_LINE="nanoclaw $line"; COMP_POINT=${#COMP_LINE}
      _nanoclaw_completion nanoclaw
      printf '%s\\n' "${COMPREPLY[*]}"
    done
    """
    path = f"{program.parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["/bin/bash", "-c", script, "bash", *expected],
        env=environment(PATH=path, NANOCLAW_HOME=str(nanoclaw.home)),
        capture_output=True,
        text=True,
        timeout=GUARD_S,
        check=False,
    )
    assert (done.stdout.splitlines(), done.stderr) == ([*expected.values()], "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_completion_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert "_NANOCLAW_COMPLETE" in capsys.readouterr().out


# -- a noun of another package


def test_a_package_can_add_a_noun_by_an_entry_point(tmp_path: Path) -> None:
    (tmp_path / "greetings.py").write_text(GREETINGS)
    info = tmp_path / "greetings-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: greetings\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[nanoclaw.operations]\ngreetings = greetings:Greetings\n")
    command = [
        *NANOCLAW,
        "greetings",
        "say",
        "Ann",
        "--times",
        "2",
        "--home",
        str(tmp_path / "home"),
        "--json",
    ]
    done = subprocess.run(
        command,
        env=environment(PYTHONPATH=str(tmp_path)),
        capture_output=True,
        text=True,
        timeout=GUARD_S,
        check=False,
    )
    assert (done.stdout, done.returncode) == ('"hello Ann hello Ann "\n', 0)
    [note] = done.stderr.splitlines()
    assert note.startswith("nanoclaw: there is nothing in ")


GREETINGS = '''
from attrs import frozen
from nanoclaw.operations import Noun, Right, operation


@frozen
class Greetings(Noun):
    """Words for people."""

    name = "greetings"
    summary = "words for people"

    @operation(right=Right.ADMIN, reads=True)
    async def say(self, whom: str, *, times: int = 1) -> str:
        """Say hello.

        Args:
            whom: a name.
            times: how often.
        """
        return f"hello {whom} " * times
'''
