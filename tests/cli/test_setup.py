"""`nanoclaw setup` and the questions of a first run, against a model server on loopback."""

import json
import os
import signal
import subprocess
import tomllib
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from nanoclaw.setup.services import SERVICES
from nanoclaw.testing.models import FakeModel, ModelFailure, open_fake_model
from tests.cli.commands import GUARD_S, NANOCLAW, Result, call, environment
from tests.cli.terminals import CTRL_D, ENTER, AtTerminal, at_terminal

KEY = "sk-typed-0123456789abcdef"
NOWHERE = "127.0.0.1:9"
NO_KEYS = {variable: "" for service in SERVICES for variable in service.variables}
NAMES = ("nomic-embed-text", "llama3.1:8b", "qwen3:4b")


@pytest.fixture
async def model() -> AsyncIterator[FakeModel]:
    """Serve a model that always answers."""
    async with open_fake_model("yes", names=NAMES) as served:
        yield served


def variables(model: FakeModel | None, **more: str) -> dict[str, str]:
    """Return the environment of a machine where only this model is found."""
    return {**NO_KEYS, "OLLAMA_HOST": model.url if model is not None else NOWHERE, **more}


async def setup(home: Path, *arguments: str, stdin: str = "", **more: str) -> Result:
    """Call `nanoclaw setup` without a terminal."""
    variables = {**NO_KEYS, "OLLAMA_HOST": NOWHERE, **more}
    words = ("setup", "--home", str(home), *arguments)
    with trio.fail_after(GUARD_S):
        return await trio.to_thread.run_sync(partial(call, *words, text=stdin, **variables))


def holding(folder: Path, text: str) -> list[Path]:
    """Return the files below a folder that contain a text."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return [file for file in files if text.encode() in file.read_bytes()]


def written(home: Path) -> Mapping[str, Any]:
    return tomllib.loads((home / "config.toml").read_text())


def interrupted(terminal: AtTerminal) -> int:
    """Send what Ctrl-C sends, until the process has ended; return its exit code.

    Python loses a signal that comes between the question and the read of its answer.
    """
    while True:
        terminal.process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            return terminal.process.wait(5)


# -- on a terminal ---------------------------------------------------------------


@contextmanager
def asked(home: Path, model: FakeModel | None, command: str = "run", **more: str) -> Iterator[AtTerminal]:
    with at_terminal(home, command=command, asks=True, stderr=None, **variables(model, **more)) as terminal:
        yield terminal


async def test_enter_and_enter_is_a_first_run_with_the_model_on_the_machine(
    tmp_path: Path, model: FakeModel
) -> None:
    def play() -> None:
        with asked(tmp_path / "home", model) as terminal:
            terminal.see("Model: qwen3:4b of Ollama on this machine; free. Enter takes it")
            terminal.type(ENTER)
            terminal.see("it answers")
            terminal.see("Time zone [UTC]:")
            terminal.type(ENTER)
            terminal.see("NanoClaw (model qwen3:4b, provider openai) answers here.")
            terminal.see_prompt()
            terminal.type(CTRL_D)
            assert terminal.left() == 0

    await trio.to_thread.run_sync(play)
    found = written(tmp_path / "home")
    assert found["model"] == {"provider": "openai", "name": "qwen3:4b", "base_url": f"{model.url}/v1"}
    assert "timezone" not in found


async def test_where_nothing_is_found_enter_takes_echo_and_later_runs_do_not_ask(tmp_path: Path) -> None:
    def play() -> None:
        with asked(tmp_path, None) as terminal:
            terminal.see("Model: none was found")
            terminal.type(ENTER)
            terminal.see("Time zone [UTC]:")
            terminal.type("europe/berlin" + ENTER)
            terminal.see_prompt()
            terminal.type(CTRL_D)
            terminal.left()
        with asked(tmp_path, None) as terminal:
            terminal.see_prompt()
            assert "Model:" not in terminal.screen.before

    await trio.to_thread.run_sync(play)
    assert (written(tmp_path)["model"], written(tmp_path)["timezone"]) == (
        {"provider": "echo"},
        "Europe/Berlin",
    )


@pytest.mark.parametrize("at", ["the model", "the zone"])
async def test_ctrl_c_leaves_everything_as_it_was(tmp_path: Path, model: FakeModel, at: str) -> None:
    home = tmp_path / "home"

    def play() -> None:
        with asked(home, model) as terminal:
            terminal.see("all choices:")
            if at == "the zone":
                terminal.type(ENTER)
                terminal.see("Time zone")
            assert interrupted(terminal) == 130

    await trio.to_thread.run_sync(play)
    assert not home.exists()


async def test_a_model_that_does_not_answer_can_be_exchanged(tmp_path: Path, model: FakeModel) -> None:
    model.answers = [ModelFailure(500, "out of memory"), "yes"]

    def play() -> None:
        with asked(tmp_path, model, "setup") as terminal:
            terminal.type("?" + ENTER)
            terminal.see("4  none; the agent is echo")
            terminal.type("nonsense" + ENTER)
            terminal.see("Type a number from 1 to 4.")
            terminal.type("1" + ENTER)
            terminal.see("2  llama3.1:8b")
            terminal.type("qwen" + ENTER)
            terminal.see("The server has no model")
            terminal.type("2" + ENTER)
            terminal.see('fails with status 500 ("out of memory")')
            terminal.type(ENTER)
            terminal.see("Your choice")
            terminal.type("1" + ENTER)
            terminal.see("Model [")
            terminal.type(ENTER)
            terminal.see("it answers")
            terminal.see("Time zone")
            terminal.type("Mars" + ENTER)
            terminal.see("There is no time zone")
            terminal.type(ENTER)
            assert terminal.left() == 0

    await trio.to_thread.run_sync(play)
    assert [request.model for request in model.requests] == ["llama3.1:8b", "qwen3:4b"]
    assert written(tmp_path)["model"]["name"] == "qwen3:4b"


async def test_a_typed_key_is_shown_nowhere_and_kept_in_a_file_of_its_own(
    tmp_path: Path, model: FakeModel
) -> None:
    shown = list[str]()

    def play() -> None:
        with asked(tmp_path, None, "setup") as terminal:
            terminal.type("?" + ENTER)
            terminal.see("2  a server by its address")
            terminal.type("2" + ENTER)
            terminal.see("Address")
            terminal.type("ftp://x" + ENTER)
            terminal.see("must begin with http")
            terminal.see("Address")
            terminal.type(model.url.removeprefix("http://") + ENTER)
            terminal.see("Its key (it is not shown")
            terminal.type(KEY + ENTER)
            terminal.see("Model [")
            shown.append(terminal.screen.before)
            terminal.type(ENTER)
            terminal.see("Time zone")
            shown.append(terminal.screen.before)
            terminal.type(ENTER)
            assert terminal.left() == 0

    await trio.to_thread.run_sync(play)
    assert KEY not in "".join(shown)
    assert model.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert [path.parent for path in holding(tmp_path, KEY)] == [tmp_path / "keys"]


async def test_running_it_again_offers_what_is_configured(tmp_path: Path, model: FakeModel) -> None:
    (tmp_path / "config.toml").write_text(
        'timezone = "Europe/Rome" # mine\n[model]\nprovider="openai"\nname="qwen3:4b"\n'
        f'base_url="{model.url}/v1"\n'
    )
    before = (tmp_path / "config.toml").read_bytes()

    def play() -> None:
        with asked(tmp_path, model, "setup") as terminal:
            terminal.see(f"Model: qwen3:4b at {model.url}/v1, no key, as now. Enter keeps it")
            terminal.type(ENTER)
            terminal.see("Time zone [Europe/Rome]:")
            terminal.type(ENTER)
            assert terminal.left() == 0

    await trio.to_thread.run_sync(play)
    assert (tmp_path / "config.toml").read_bytes() == before


@pytest.fixture
def machine(tmp_path: Path) -> dict[str, str]:
    """Return the variables of a machine without an engine, whose `bwrap` makes no sandbox."""
    program = tmp_path / "bin" / "bwrap"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'bwrap: the moon is full' >&2\nexit 1\n")
    program.chmod(0o755)
    path = f"{program.parent}:{os.environ['PATH']}"
    return {"PATH": path, "DOCKER_HOST": f"unix://{tmp_path}/none.sock", "NANOCLAW_SANDBOX_RUNTIME": ""}


async def test_a_first_run_says_at_the_terminal_where_agents_run_and_what_is_missing_for_more(
    tmp_path: Path, machine: dict[str, str]
) -> None:
    home = tmp_path / "home"

    def play() -> None:
        with asked(home, None, **machine) as terminal:
            terminal.see("agents run as processes of yours, with chat tools only")
            terminal.see("docker: no container engine was found; install Docker or Podman")
            terminal.see("bubblewrap: ")
            terminal.see("the moon is full")
            terminal.see("all choices:")
            terminal.type(ENTER)
            terminal.see("Time zone [UTC]:")
            terminal.type(ENTER)
            terminal.see_prompt()

    await trio.to_thread.run_sync(play)
    assert written(home)["sandbox"] == {"runtime": "process"}


@pytest.mark.parametrize(("answer", "taken"), [("", "process"), ("Bubblewrap", "bubblewrap")])
async def test_setup_shows_what_works_here_and_asks_for_the_sandbox(
    tmp_path: Path, machine: dict[str, str], answer: str, taken: str
) -> None:
    home = tmp_path / "home"

    def play() -> None:
        with asked(home, None, "setup", **machine) as terminal:
            terminal.type(ENTER)
            terminal.see("Time zone [UTC]:")
            terminal.type(ENTER)
            terminal.see("docker: no container engine was found")
            terminal.see("the moon is full")
            terminal.see("Sandbox [process]:")
            terminal.type("bubblewarp" + ENTER)
            terminal.see("There is no sandbox 'bubblewarp'; did you mean bubblewrap?")
            terminal.see("Sandbox [process]:")
            terminal.type(answer + ENTER)
            terminal.see(f"Agents run in: {taken}.")
            assert terminal.left() == 0

    await trio.to_thread.run_sync(play)
    assert written(home)["sandbox"] == {"runtime": taken}


async def test_setup_offers_the_sandbox_that_is_configured(tmp_path: Path, machine: dict[str, str]) -> None:
    (tmp_path / "config.toml").write_text('[sandbox]\nruntime = "bubblewrap"\n')

    def play() -> None:
        with asked(tmp_path, None, "setup", **machine) as terminal:
            terminal.type(ENTER)
            terminal.see("Time zone [UTC]:")
            terminal.type(ENTER)
            terminal.see("Sandbox [bubblewrap]:")
            terminal.type(ENTER)
            assert terminal.left() == 0

    await trio.to_thread.run_sync(play)
    assert written(tmp_path)["sandbox"] == {"runtime": "bubblewrap"}


# -- without a terminal ----------------------------------------------------------


async def test_without_a_terminal_nothing_is_asked_and_nothing_is_spent(
    tmp_path: Path, model: FakeModel
) -> None:
    done = await setup(tmp_path / "home", OLLAMA_HOST=model.url, OPENAI_API_KEY="sk-1")
    assert done.code == 2
    assert "there is no terminal to ask at; say --provider, --timezone, --sandbox or --yes" in done.stderr
    assert not (tmp_path / "home").exists()
    assert model.requests == []


async def test_a_first_run_without_a_terminal_names_setup_once(tmp_path: Path, model: FakeModel) -> None:
    env = environment(**variables(model))
    command = [*NANOCLAW, "run", "--home", str(tmp_path)]
    errors = list[str]()
    for _ in range(2):
        done = await trio.run_process(
            command, stdin=b"hello\n", capture_stdout=True, capture_stderr=True, env=env, check=False
        )
        assert done.stdout == b"echo: hello\n"
        errors.append(done.stderr.decode())
    assert ["`nanoclaw setup` chooses a model" in error for error in errors] == [True, False]
    assert model.requests == []


async def test_every_answer_is_a_flag(tmp_path: Path, model: FakeModel) -> None:
    arguments = ("--provider", "openai", "--model", "llama3.1:8b", "--base-url", model.url, "--key-stdin")
    done = await setup(tmp_path, *arguments, "--timezone", "europe/berlin", "--json", stdin=f"{KEY}\n")
    result = json.loads(done.output)
    assert (done.code, result["ok"], result["check"]["outcome"]) == (0, True, "fine")
    assert KEY not in done.output + done.stderr
    found = written(tmp_path)
    [file] = (tmp_path / "keys").iterdir()
    assert found["timezone"] == "Europe/Berlin"
    assert found["model"]["key"] == {"file": f"keys/{file.name}"}
    assert [request.model for request in model.requests] == ["llama3.1:8b"]


async def test_with_yes_the_best_offer_is_taken(tmp_path: Path, model: FakeModel) -> None:
    done = await setup(tmp_path, "--yes", OLLAMA_HOST=model.url)
    assert (done.code, written(tmp_path)["model"]["name"]) == (0, "qwen3:4b")
    assert (await setup(tmp_path / "none", "--yes")).code == 0
    assert written(tmp_path / "none")["model"] == {"provider": "echo"}


@pytest.mark.parametrize(
    ("provider", "address"),
    [
        ("openai", "http://127.0.0.1:9/v1"),
        ("openrouter", "http://127.0.0.1:9/v1"),
        ("anthropic", "http://127.0.0.1:9"),
        ("claude", "http://127.0.0.1:9"),
    ],
)
async def test_an_address_gets_the_path_of_chat_completions_unless_the_provider_speaks_anthropic(
    tmp_path: Path, provider: str, address: str
) -> None:
    arguments = ("--provider", provider, "--base-url", "http://127.0.0.1:9/", "--model", "m")
    done = await setup(tmp_path, *arguments, "--key-env", "MY_KEY", "--no-check", MY_KEY=KEY)
    assert (done.code, written(tmp_path)["model"]["base_url"]) == (0, address)


async def test_a_model_that_does_not_answer_is_not_written_unless_it_is_not_checked(
    tmp_path: Path, model: FakeModel
) -> None:
    model.answers = ModelFailure(401, f"no such key {KEY}")
    arguments = ("--provider", "openai", "--base-url", model.url, "--key-env", "MY_KEY")
    done = await setup(tmp_path / "home", *arguments, MY_KEY=KEY)
    assert (done.code, "refuses the key" in done.stderr) == (1, True)
    assert KEY not in done.output + done.stderr
    assert not (tmp_path / "home").exists()
    done = await setup(tmp_path / "home", *arguments, "--model", "m", "--no-check", MY_KEY=KEY)
    assert (done.code, len(model.requests)) == (0, 1)
    assert written(tmp_path / "home")["model"]["key"] == {"env": "MY_KEY"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--provider", "openai", "--key-env", KEY), "must be the name of a variable"),
        (("--provider", "openai", "--key-env", "A", "--key-file", "b"), "exclude each other"),
        (("--provider", "openai", "--key-stdin"), "stdin must hold the key"),
        (("--provider", "openai", "--key-command", "'"), "cannot be split"),
        (("--provider", "openai", "--base-url", f"http://u:{KEY}@h/v1"), "must have no user"),
        (("--model", "x"), "--model needs --provider"),
        (("--provider", "antropic"), "there is no provider 'antropic'; did you mean anthropic?"),
        (("--timezone", "Mars"), "there is no time zone"),
    ],
)
async def test_a_bad_option_is_one_line_and_never_shows_a_key(
    tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    done = await setup(tmp_path / "home", *arguments)
    assert done.code == 2
    assert words in done.stderr
    assert KEY not in done.stderr
    assert not (tmp_path / "home").exists()


async def test_a_variable_that_overrides_the_answer_is_named(tmp_path: Path, model: FakeModel) -> None:
    done = await setup(tmp_path, "--yes", OLLAMA_HOST=model.url, NANOCLAW_MODEL_PROVIDER="echo")
    assert (done.code, "NANOCLAW_MODEL_PROVIDER says so" in done.stderr) == (0, True)


async def test_a_broken_configuration_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[model")
    done = await setup(tmp_path, "--provider", "echo")
    assert (done.code, "cannot be read as TOML" in done.stderr) == (2, True)
    assert (tmp_path / "config.toml").read_text() == "[model"


def test_the_help_fits_a_terminal() -> None:
    done = subprocess.run(
        [*NANOCLAW, "setup", "--help"], capture_output=True, text=True, check=True, env={**os.environ}
    )
    assert max(map(len, done.stdout.splitlines())) <= 80


async def test_a_sandbox_that_is_named_is_written_and_all_else_stays(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[model]\nprovider = "echo"\n')
    result = await setup(tmp_path, "--sandbox", "process", "--json")
    assert json.loads(result.output)["sandbox"] == "process"
    assert written(tmp_path) == {"model": {"provider": "echo"}, "sandbox": {"runtime": "process"}}


async def test_a_sandbox_that_is_not_installed_is_refused(tmp_path: Path) -> None:
    result = await setup(tmp_path, "--sandbox", "processs")
    assert result.code == 2
    assert "there is no runtime 'processs'; did you mean process?" in result.stderr
    assert not (tmp_path / "config.toml").exists()
