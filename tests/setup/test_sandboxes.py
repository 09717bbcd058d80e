"""The choice of the place where agents run: an engine and programs as a machine may have them."""

import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest

from nanoclaw.setup import sandboxes
from nanoclaw.setup.sandboxes import choose, engine

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"
ALL = ["bubblewrap", "docker", "process"]


@pytest.fixture(autouse=True)
def packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the extra and both runtimes be installed, whatever this environment has."""
    monkeypatch.setattr(sandboxes, "find_spec", lambda _: object())
    monkeypatch.setattr(sandboxes, "installed", lambda _: ALL)


@contextmanager
def an_engine(folder: Path, answer: bytes | None) -> Iterator[Mapping[str, str]]:
    """Serve one answer at a socket; None: it never answers. Yields the environment that names it."""
    path = folder / "engine.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                assert connection.recv(1000).startswith(b"GET /_ping HTTP/1.")
                if answer is None:
                    connection.recv(1)  # until the other side gives up
                else:
                    connection.sendall(answer)

        thread = Thread(target=serve)
        thread.start()
        yield {"DOCKER_HOST": f"unix://{path}"}
        thread.join()


def programs(folder: Path, monkeypatch: pytest.MonkeyPatch, bwrap: str | None) -> None:
    """Let this machine have a `bwrap` that is this shell script, or none."""
    monkeypatch.setenv("PATH", f"{folder}:/bin:/usr/bin" if bwrap else str(folder))
    if bwrap is not None:
        (folder / "bwrap").write_text(f"#!/bin/sh\n{bwrap}\n")
        (folder / "bwrap").chmod(0o755)


def no_engine(folder: Path) -> Mapping[str, str]:
    return {"DOCKER_HOST": f"unix://{folder}/none.sock"}


def test_an_engine_that_answers_is_chosen(tmp_path: Path) -> None:
    with an_engine(tmp_path, OK) as environ:
        choice = choose(environ)
    assert choice.runtime == "docker"
    assert "agents run in sandboxes of docker (a container engine answers at" in choice.sentence


def test_without_an_engine_a_bubblewrap_that_works_is_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs(tmp_path, monkeypatch, "exit 0")
    choice = choose(no_engine(tmp_path))
    assert choice.runtime == "bubblewrap"
    assert "a trial sandbox works" in choice.sentence


def test_without_both_agents_have_chat_tools_only_and_the_reasons_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs(tmp_path, monkeypatch, "echo 'bwrap: no permissions' >&2; exit 1")
    choice = choose(no_engine(tmp_path))
    assert choice.runtime == "process"
    assert "with chat tools only" in choice.sentence
    assert "no container engine was found; install Docker or Podman" in choice.sentence
    assert "no permissions" in choice.sentence


def test_a_missing_bubblewrap_is_named_with_what_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs(tmp_path, monkeypatch, None)
    assert "`apt install bubblewrap`" in choose(no_engine(tmp_path)).sentence


def test_a_runtime_that_is_not_installed_is_not_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandboxes, "installed", lambda _: ["process"])
    assert choose({"DOCKER_HOST": f"unix://{tmp_path}/x"}).runtime == "process"


def test_an_engine_whose_extra_is_missing_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandboxes, "find_spec", lambda _: None)
    found = engine({})
    assert not found.works
    assert "nanoclaw[docker]" in found.advice


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0", b"HTTP/1.1 500 Oops\r\n\r\n"])
def test_a_socket_of_something_else_is_no_engine(tmp_path: Path, answer: bytes) -> None:
    with an_engine(tmp_path, answer) as environ:
        assert not engine(environ).works


def test_an_engine_that_hangs_delays_the_choice_by_a_moment(tmp_path: Path) -> None:
    before = time.monotonic()
    with an_engine(tmp_path, None) as environ:
        found = engine(environ)
        assert time.monotonic() - before < 5
    assert "timed out" in found.words


@pytest.mark.skipif(os.geteuid() == 0, reason="root may use every socket")
def test_a_socket_of_another_group_is_named_with_what_to_do(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "engine.sock"))
        (tmp_path / "engine.sock").chmod(0)
        found = engine({"DOCKER_HOST": f"unix://{tmp_path}/engine.sock"})
    assert "usermod -aG docker" in found.advice
