"""`nanoclaw channels`: a person connects a network, pairs, looks, disconnects; on a Telegram on loopback."""

import json
import re
import signal
import stat
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from nanoclaw.testing.networks.telegram import FakeTelegram, open_fake_telegram
from tests.cli.commands import GUARD_S, NANOCLAW, Result, call, environment, running, wait_ready
from tests.cli.terminals import ENTER, AtTerminal, on_terminal

CODE = re.compile(r"[2-9A-Z]{5}-[2-9A-Z]{5}")
WITHOUT_SIGNALS = frozenset({"setup", "add", "remove"})
"""Commands that need no main thread."""


@pytest.fixture
async def telegram() -> AsyncIterator[FakeTelegram]:
    async with open_fake_telegram() as fake:
        yield fake


@pytest.fixture
async def home(tmp_path: Path) -> Path:
    """Return a home whose model is chosen."""
    chosen = tmp_path / "home"
    words = ("setup", "--home", str(chosen), "--provider", "echo", "--sandbox", "process", "--no-check")
    assert (await nanoclaw(chosen, *words[:1], *words[3:])).code == 0
    return chosen


async def nanoclaw(home: Path, *words: str, stdin: str = "") -> Result:
    """Call a command without a terminal: within this process if it takes no signals, to save its start."""
    command = (*words, "--home", str(home))
    with trio.fail_after(GUARD_S):
        if not WITHOUT_SIGNALS.isdisjoint(words):
            result = await trio.to_thread.run_sync(partial(call, *command, text=stdin))
        else:
            result = await _process(command)
    assert "Traceback" not in result.stderr
    return result


async def _process(command: tuple[str, ...]) -> Result:
    done = await trio.run_process(
        [*NANOCLAW, *command], capture_stdout=True, capture_stderr=True, check=False, env=environment()
    )
    return Result(done.returncode, done.stdout.decode(), done.stderr.decode())


async def added(home: Path, telegram: FakeTelegram, *words: str) -> dict[str, Any]:
    """Add the channel without a terminal, and return what is printed for programs."""
    api = ("--set", f"api_base={telegram.api_base}")
    result = await nanoclaw(
        home, "channels", "add", "telegram", "--token-stdin", *api, "--json", *words, stdin=telegram.token
    )
    assert result.code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.output)
    return found


@asynccontextmanager
async def a_host(home: Path) -> AsyncIterator[None]:
    """Run a host in a process of its own."""
    with running(home, "--headless") as host:
        await trio.to_thread.run_sync(wait_ready, host)
        yield


def written(home: Path) -> Any:
    return tomllib.loads((home / "config.toml").read_text())


def holding(folder: Path, text: str) -> list[str]:
    """Return the names of the files below a folder that contain a text."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return [file.name for file in files if text.encode() in file.read_bytes()]


async def test_a_person_without_a_running_host_types_the_token_and_is_paired(
    home: Path, telegram: FakeTelegram
) -> None:
    ann = telegram.user("Ann")

    def at_the_terminal(terminal: AtTerminal) -> int:
        terminal.see("BotFather")
        terminal.see("not shown")
        terminal.type(f"{telegram.token}{ENTER}")
        terminal.see("this is @")
        terminal.see("Write this code")
        terminal.screen.expect(CODE.pattern)
        code = terminal.screen.match.group()
        trio.from_thread.run_sync(ann.says, code)
        terminal.see(f"Paired: tg:{ann.id}")
        assert telegram.token not in terminal.screen.before
        return terminal.left()

    words = ("channels", "add", "telegram", "--home", str(home), "--set", f"api_base={telegram.api_base}")
    with trio.fail_after(GUARD_S):
        code = await trio.to_thread.run_sync(partial(_on_terminal, at_the_terminal, words))
    assert code == 0
    [told] = telegram.shown(ann.chat)
    assert told.text.startswith("You are paired")
    assert written(home)["channels"]["telegram"]["token"] == {"file": "secrets/telegram-token"}
    secret = home / "secrets" / "telegram-token"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert stat.S_IMODE(secret.parent.stat().st_mode) == 0o700
    assert holding(home, telegram.token) == ["telegram-token"]


def _on_terminal(scenario: Any, words: tuple[str, ...]) -> int:
    with on_terminal(*words) as terminal:
        found: int = scenario(terminal)
        return found


async def test_a_running_host_starts_the_channel_and_the_owner_talks_there(
    home: Path, telegram: FakeTelegram
) -> None:
    ann = telegram.user("Ann")
    async with a_host(home):
        result = await added(home, telegram)
        assert (result["started"], result["name"]) == (True, "telegram")
        assert result["account"] == f"@{telegram.bot_json()['username']}"
        await telegram.confirmed(ann.says(result["pairing"]["code"]))
        await telegram.until_shown(ann.chat, 1)
        await telegram.confirmed(ann.says("hello"))
        assert (await telegram.until_shown(ann.chat, 2))[-1].text == "echo: hello"
        [_, listed] = json.loads((await nanoclaw(home, "channels", "list", "--json")).output)
        assert (listed["name"], listed["account"], listed["state"]) == (
            "telegram",
            f"@{telegram.bot_json()['username']}",
            "running",
        )
        [shown] = json.loads((await nanoclaw(home, "channels", "status", "telegram", "--json")).output)
        assert (shown["condition"], shown["waiting"]) == (None, 0)
        user = json.loads((await nanoclaw(home, "users", "show", f"tg:{ann.id}", "--json")).output)
        assert (user["person"], user["rights"]) == ("cli:local", ["owner"])
        assert (await nanoclaw(home, "channels", "remove", "telegram", "--yes")).code == 0
        assert "channels  cli (running)\n" in (await nanoclaw(home, "status")).output
    assert "channels" not in written(home)
    assert (home / "secrets" / "telegram-token").exists()


async def test_a_token_that_the_network_refuses_is_not_written(home: Path, telegram: FakeTelegram) -> None:
    before = (home / "config.toml").read_bytes()
    result = await nanoclaw(
        home,
        *("channels", "add", "telegram", "--token-stdin", "--set", f"api_base={telegram.api_base}"),
        stdin="1:wrong-token",
    )
    assert result.code == 1
    assert result.errors[-1] == "nothing was written; --no-check writes it all the same"
    assert (home / "config.toml").read_bytes() == before
    assert holding(home, "wrong-token") == []
    assert "wrong-token" not in result.stderr + result.output


async def test_a_channel_keeps_its_other_keys_when_its_token_is_given_again(
    home: Path, telegram: FakeTelegram
) -> None:
    file = home / "config.toml"
    file.write_text(
        f'# mine\n{file.read_text()}\n[channels.telegram]\nwebhook_listen = "127.0.0.1:1" # here\n'
    )
    await added(home, telegram)
    table = written(home)["channels"]["telegram"]
    assert (table["webhook_listen"], table["api_base"]) == ("127.0.0.1:1", telegram.api_base)
    assert [comment for comment in ("# mine", "# here") if comment not in file.read_text()] == []


async def test_two_channels_of_one_type_have_names_of_their_own(home: Path, telegram: FakeTelegram) -> None:
    await added(home, telegram)
    await added(home, telegram, "--name", "work")
    channels = written(home)["channels"]
    assert channels["work"]["type"] == "telegram"
    assert {channels[name]["token"]["file"] for name in channels} == {
        "secrets/telegram-token",
        "secrets/work-token",
    }
    result = await nanoclaw(home, "channels", "remove", "work", "--yes", "--forget-secret")
    assert result.code == 0
    assert list(written(home)["channels"]) == ["telegram"]
    assert [file.name for file in (home / "secrets").iterdir()] == ["telegram-token"]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("add", "telegrm"), "did you mean telegram?"),
        (("add", "telegram"), "--token-file, --token-env or --token-stdin is missing"),
        (("add", "telegram", "--name", "cli", "--token-env", "T"), "the terminal's name"),
        (("add", "telegram", "--token-env", "not a name"), "must be the name of a variable"),
        (("add", "telegram", "--token-env", "NOBODY_SETS_THIS"), "NOBODY_SETS_THIS is not set"),
        (("remove", "telegram", "--yes"), "there is no table [channels.telegram]"),
        (("remove", "telegram"), "Say --yes to do it"),
        (("status",), "no host is running"),
        (("pair", "telegram"), "there is no table [channels.telegram]"),
    ],
)
async def test_what_cannot_be_done_is_refused_with_the_way_out(
    home: Path, words: tuple[str, ...], reason: str
) -> None:
    before = (home / "config.toml").read_bytes()
    result = await nanoclaw(home, "channels", *words)
    assert result.code in {1, 2}
    assert reason in result.stderr
    assert (home / "config.toml").read_bytes() == before


async def test_ctrl_c_keeps_what_is_configured(home: Path, telegram: FakeTelegram) -> None:
    def at_the_terminal(terminal: AtTerminal) -> int:
        terminal.see("not shown")
        terminal.type(f"{telegram.token}{ENTER}")
        terminal.screen.expect(CODE.pattern)
        terminal.see("Ctrl-C")
        terminal.process.send_signal(signal.SIGINT)
        terminal.see("nanoclaw channels pair telegram")
        return terminal.left()

    words = ("channels", "add", "telegram", "--home", str(home), "--set", f"api_base={telegram.api_base}")
    with trio.fail_after(GUARD_S):
        assert await trio.to_thread.run_sync(partial(_on_terminal, at_the_terminal, words)) == 130
    assert written(home)["channels"]["telegram"]["token"] == {"file": "secrets/telegram-token"}


async def test_a_new_token_in_the_file_connects_again_without_a_restart(
    home: Path, telegram: FakeTelegram
) -> None:
    await added(home, telegram)
    secret = home / "secrets" / "telegram-token"
    right = secret.read_text()
    secret.write_text("1:wrong\n")
    async with a_host(home):
        await _until(home, "unauthorized")
        secret.write_text(right)
        await _until(home, None)


async def _until(home: Path, condition: str | None) -> None:
    """Wait until the channel is in a condition. A child process has the only clock that counts here."""
    with trio.fail_after(GUARD_S):
        while True:
            found = json.loads((await nanoclaw(home, "channels", "status", "telegram", "--json")).output)
            if found[0]["condition"] == condition:
                return


async def test_a_running_host_starts_a_web_chat_and_its_link_is_printed(home: Path) -> None:
    async with a_host(home):
        with (home / "config.toml").open("a") as file:
            file.write('\n[channels.http]\nlisten = "127.0.0.1:0"\n')
        assert (await nanoclaw(home, "channels", "start", "http")).code == 0
        printed = await _link(home)
    assert re.match(r"url    http://127\.0\.0\.1:\d+/chat/#login=\S+\nuser   http:owner\nuntil  ", printed)


async def _link(home: Path) -> str:
    """Return what `web` prints once the server runs. A child process has the only clock that counts here."""
    with trio.fail_after(GUARD_S):
        while (result := await nanoclaw(home, "web")).code:
            pass
        return result.output
