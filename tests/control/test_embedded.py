"""A host that another program embeds: visible from the shell, or said to be there."""

import fcntl
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest
import structlog
import trio

from nanoclaw import Control, open_host
from nanoclaw.channels.terminal.terminal import CHAT, CHAT_NAME, USER_ID, USER_NAME, Terminal
from nanoclaw.cli import main, performing
from nanoclaw.cli.client import NoHost, connect
from nanoclaw.control.address import NAME, socket_path
from nanoclaw.host import Seams
from nanoclaw.system import sockets
from nanoclaw.system.sockets import nameable
from nanoclaw.testing import FakeChannel
from tests.cli.commands import NANOCLAW, Result, environment
from tests.control.clients import GUARD_S, connected
from tests.control.sample import over_the_wire
from tests.host.homes import config
from tests.host.runtimes import FakeRuntime

QUIET = Seams(runtime=FakeRuntime())
COMMANDS = (["status"], ["tree"], ["logs"], ["chat", "hello"], ["agents", "list"], ["users", "show", "tg:2"])


PROGRAM = """
import sys, trio, nanoclaw
from nanoclaw.logs import LogRing, configure_logging

async def main():
    async with nanoclaw.open_host(nanoclaw.load_config(home=sys.argv[1]), control=True):
        print("open", flush=True)
        await trio.to_thread.run_sync(sys.stdin.read)

{configure}
trio.run(main)
"""
"""A program that embeds a host until its input ends."""


async def nanoclaw(home: Path, *words: str) -> Result:
    """Run a command to its end, beside the tasks of this program."""
    done = await trio.run_process(
        [*NANOCLAW, *words, "--home", str(home)],
        capture_stdout=True,
        capture_stderr=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env=environment(),
    )
    return Result(done.returncode, done.stdout.decode(), done.stderr.decode())


# -- a host with a control socket ----------------------------------------------


async def test_the_status_of_the_host_is_that_of_its_socket(tmp_path: Path) -> None:
    async with (
        open_host(config(tmp_path), channels=[FakeChannel()], seams=QUIET, control=True) as host,
        connected(host.config.data) as client,
    ):
        own, told = over_the_wire(await host.status()), await client.ask("status")
    [channel] = own["channels"]
    assert (channel["name"], channel["sender"], channel["receiver"]) == ("fake", "running", "running")
    assert (channel["condition"], channel["waiting"]) == (None, 0)
    assert (own["pid"], own["data"]) == (os.getpid(), str(tmp_path / "data"))
    assert {**own, "uptime_s": 0, "started_at": 0} == {**told, "uptime_s": 0, "started_at": 0}


async def test_a_host_without_a_socket_knows_its_status(tmp_path: Path) -> None:
    async with open_host(config(tmp_path), seams=QUIET) as host:
        assert (await host.status()).runtime == QUIET.runtime.name  # type: ignore[union-attr]
        assert not socket_path(host.config.data).exists()


async def test_a_socket_is_only_opened_on_request(tmp_path: Path) -> None:
    async with open_host(config(tmp_path), seams=QUIET, control=False) as host:
        assert not socket_path(host.config.data).exists()


async def test_a_log_that_cannot_be_kept_is_refused_with_the_reason(tmp_path: Path) -> None:
    before = structlog.get_config()
    structlog.configure(processors=(structlog.testing.LogCapture(),))
    try:
        async with (
            open_host(config(tmp_path), seams=QUIET, control=True) as host,
            connected(host.config.data) as client,
        ):
            await client.send(1, "logs")
            assert "configure_logging(level, ring=LogRing())" in (await client.error())["message"]
    finally:
        structlog.configure(**before)


async def test_a_chat_that_the_program_does_not_offer_is_refused_with_what_to_do(tmp_path: Path) -> None:
    async with (
        open_host(config(tmp_path), seams=QUIET, control=True) as host,
        connected(host.config.data) as client,
    ):
        await client.send(1, "chat", text="hello")
        error = await client.error()
    assert error["code"] == "unavailable"
    assert "pass a Terminal among its channels" in error["message"]


@pytest.mark.slow
async def test_a_terminal_among_the_channels_is_offered_for_chat(tmp_path: Path) -> None:
    terminal = Terminal(None, Random(1))
    with trio.fail_after(GUARD_S):
        async with open_host(config(tmp_path), channels=[terminal], control=True) as host:
            await host.bootstrap(CHAT, CHAT_NAME, owner_id=USER_ID, owner_name=USER_NAME)
            terminal.open()
            async with connected(host.config.data) as client:
                await client.send(1, "chat", text="hello")
                assert await client.message() == (1, "echo: hello")


@pytest.mark.slow
@pytest.mark.parametrize("configure", ["", 'configure_logging("error", ring=LogRing())'], ids=["none", "own"])
def test_the_log_of_an_embedded_host_can_be_read(tmp_path: Path, configure: str) -> None:
    program = [sys.executable, "-c", PROGRAM.format(configure=configure), str(tmp_path)]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as host:
        assert host.stdin is not None
        assert host.stdout is not None
        while host.stdout.readline() not in {b"", b"open\n"}:
            pass
        done = trio.run(nanoclaw, tmp_path, "logs", "--json")
        host.stdin.close()
        assert host.wait(GUARD_S) == 0
    events = [json.loads(line) for line in done.output.splitlines()]
    assert ("host.ready", "info") in {(each["event"], each["level"]) for each in events}


@pytest.mark.slow
async def test_hosts_in_one_process_answer_each_on_its_own_socket(tmp_path: Path) -> None:
    homes = [tmp_path / name for name in ("a", "b")]
    async with AsyncExitStack() as hosts:
        for home in homes:
            await hosts.enter_async_context(open_host(config(home), seams=QUIET, control=True))
        for home in homes:
            done = await nanoclaw(home, "status", "--json")
            status = json.loads(done.output)
            assert (status["pid"], status["data"]) == (os.getpid(), str(home / "data"))
            assert (await nanoclaw(home, "logs", "--last", "5")).code == 0
            assert json.loads((await nanoclaw(home, "agents", "list", "--json")).output) == []


async def test_the_socket_of_a_killed_host_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    left_behind(tmp_path / "data")
    async with (
        open_host(config(tmp_path), seams=QUIET, control=True) as host,
        connected(host.config.data) as client,
    ):
        assert (await client.ask("tree"))["name"] == "host"


async def test_a_control_value_names_what_is_offered(tmp_path: Path) -> None:
    async with (
        open_host(config(tmp_path), seams=QUIET, control=Control()) as host,
        connected(host.config.data) as client,
    ):
        await client.send(1, "logs")
        assert (await client.error())["code"] == "unavailable"


# -- a host without one --------------------------------------------------------


def left_behind(data: Path) -> None:
    """Leave a socket on which nobody listens, as a killed host does."""
    with socket.socket(socket.AF_UNIX) as dead, nameable(socket_path(data)) as name:
        dead.bind(name)


@contextmanager
def owned(data: Path) -> Iterator[None]:
    """Own a data directory as a host does, without listening on its socket."""
    data.mkdir(exist_ok=True)
    with (data / "owner").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(performing, "PATIENCE_S", 0.0)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("left", [[], ["stale socket"]], ids=str)
def test_a_host_without_a_socket_is_named_with_what_to_do(
    tmp_path: Path, command: list[str], left: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    (data / "sessions").mkdir(parents=True)
    (data / "v2.db").touch()
    if left:
        left_behind(data)
    with owned(data):
        assert main([*command, "--home", str(tmp_path)]) == 2
    output, error = capsys.readouterr()
    begin = f"nanoclaw: {data}: process {os.getpid()} owns it, and no host answers on its control socket; "
    assert (output, error.count("\n")) == ("", 1)
    assert error.startswith(begin)
    assert "`open_host(control=True)`" in error


def test_a_file_in_the_place_of_the_socket_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with owned(tmp_path / "data"):
        (tmp_path / "data" / NAME).write_text("mine")
        assert main(["status", "--home", str(tmp_path)]) == 2
    assert f"{NAME} is not a socket: move it away" in capsys.readouterr().err


def test_an_owner_that_died_is_no_host(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with owned(tmp_path / "data"):
        pass
    assert main(["status", "--home", str(tmp_path)]) == 2
    assert "no host is running" in capsys.readouterr().err


@pytest.mark.slow
async def test_the_shell_and_a_second_host_name_the_process_of_an_embedded_host(tmp_path: Path) -> None:
    async with open_host(config(tmp_path), seams=QUIET):
        status, run = await nanoclaw(tmp_path, "status"), await nanoclaw(tmp_path, "run", "--headless")
    for done in (status, run):
        assert done.code == 2
        assert f"process {os.getpid()} owns it" in done.errors[-1]


# -- another program in the place of the host ----------------------------------


@pytest.mark.parametrize(
    "greeting",
    [b"220 mail.example.org\r\n", b"\x00\xff\n", b"[1]\n", b"{}\n", b'{"error": "who are you"}\n'],
    ids=["text", "bytes", "list", "empty", "error"],
)
@pytest.mark.parametrize("command", [["status"], ["agents", "list"]], ids=" ".join)
def test_another_program_on_the_socket_is_said_to_be_no_host(
    tmp_path: Path, greeting: bytes, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    path = socket_path(tmp_path / "data")
    with socket.socket(socket.AF_UNIX) as other, nameable(path) as name:
        other.bind(name)
        other.listen()

        def greet() -> None:
            client, _ = other.accept()
            with client:
                client.sendall(greeting)
                client.recv(1)

        thread = threading.Thread(target=greet)
        thread.start()
        assert main([*command, "--home", str(tmp_path)]) == 2
        thread.join()
    no_host = f"nanoclaw: {path}: the program that listens here is no NanoClaw host; "
    assert capsys.readouterr().err.startswith(no_host)


# -- a path that the kernel cannot name ----------------------------------------


async def test_a_path_too_long_for_the_platform_is_said_by_both_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "MAX_PATH", 10)
    monkeypatch.setattr(sockets, "sys", SimpleNamespace(platform="darwin"))
    with structlog.testing.capture_logs() as logs:
        async with open_host(config(tmp_path), seams=QUIET, control=True) as host:
            assert (await host.status()).living == 0, "the host runs on"
    [buried] = [log for log in logs if log["event"] == "actor.buried"]
    assert "choose a shorter --data" in buried["reason"]
    with pytest.raises(NoHost, match="choose a shorter --data"):
        async with connect(tmp_path / "data"):
            pass
