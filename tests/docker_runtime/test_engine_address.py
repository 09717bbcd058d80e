"""The engine's socket, and what a person is told if it cannot be used. No engine is needed."""

import errno
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import pytest
import requests
import trio

from nanoclaw.runtimes import NothingLeft, NotNow, StartFailed
from nanoclaw.runtimes.denied_calls import DENIED
from nanoclaw.runtimes.docker.address import NoSocket, engine_socket
from nanoclaw.runtimes.docker.client import client_of_version
from nanoclaw.runtimes.docker.engine import Engine
from nanoclaw.runtimes.docker.errors import (
    EngineAway,
    ImageMissing,
    NameTaken,
    refused,
    start_failed,
    unreachable,
)
from nanoclaw.runtimes.docker.output import Output
from nanoclaw.runtimes.docker.seccomp import KNOWN, profile


@pytest.mark.parametrize("address", ["/run/my.sock", "unix:///run/my.sock"])
def test_the_configuration_comes_before_the_environment(address: str) -> None:
    assert engine_socket(address, {"DOCKER_HOST": "unix:///other.sock"}) == Path("/run/my.sock")
    assert engine_socket(None, {"DOCKER_HOST": address}) == Path("/run/my.sock")


@pytest.mark.parametrize("address", ["tcp://10.0.0.1:2375", "ssh://me@there", "docker.sock"])
def test_an_engine_elsewhere_is_refused_with_advice(address: str) -> None:
    with pytest.raises(NoSocket, match=r"DOCKER_HOST is .* must run on this machine"):
        engine_socket(None, {"DOCKER_HOST": address})


def test_a_socket_of_the_users_own_engine_is_found(tmp_path: Path) -> None:
    (tmp_path / "podman").mkdir()
    (tmp_path / "podman" / "podman.sock").touch()
    found = engine_socket(None, {"XDG_RUNTIME_DIR": str(tmp_path)})
    assert found in (
        tmp_path / "podman" / "podman.sock",
        Path("/run/docker.sock"),
        Path("/var/run/docker.sock"),
    )


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOENT, "start it, or set [runtimes.docker] socket to its path"),
        (errno.EACCES, "or use a rootless engine"),
        (errno.ECONNREFUSED, "start it"),
    ],
)
def test_an_error_says_which_socket_and_what_to_do(tmp_path: Path, number: int, advice: str) -> None:
    text = str(unreachable(tmp_path / "s.sock", OSError(number, "because")))
    assert text.startswith(f"the container engine at {tmp_path}/s.sock cannot be reached (because): ")
    assert text.endswith(advice)


async def test_a_call_of_an_engine_that_is_not_there_says_so(tmp_path: Path) -> None:
    engine = Engine(str(tmp_path / "none.sock"))
    with pytest.raises(EngineAway, match=r"none.sock cannot be reached \(No such file or directory\)"):
        await engine.call(lambda api: api.ping())
    with pytest.raises(EngineAway, match=r"none.sock cannot be reached \(No such file or directory\)"):
        async with engine.stream("/events"):
            pass


async def test_a_server_that_is_no_engine_is_an_engine_that_is_away(tmp_path: Path) -> None:
    listener = trio.socket.socket(trio.socket.AF_UNIX)
    await listener.bind(str(tmp_path / "odd.sock"))
    listener.listen()

    async def answer() -> None:
        for _ in range(2):
            connection, _ = await listener.accept()
            with connection:
                await connection.recv(4096)
                await connection.send(b"what?\r\n\r\n")

    with listener:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer)
            with pytest.raises(EngineAway, match=r"odd.sock cannot be reached"):
                async with Engine(str(tmp_path / "odd.sock")).stream("/events"):
                    pass
            nursery.cancel_scope.cancel()


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_client_that_cannot_connect_leaves_no_socket(tmp_path: Path) -> None:
    with client_of_version(tmp_path / "none.sock", "1.41", 1) as client:
        before = open_files()
        with pytest.raises(requests.ConnectionError) as raised:
            client.ping()
        assert open_files() == before, f"{raised.value!r} holds one"


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (500, "mkdir /var/lib/docker/x: no space left on device", NothingLeft),
        (500, "fork/exec /proc/self/exe: resource temporarily unavailable", NothingLeft),
        (404, "No such image: nanoclaw-agent:1", NotNow),
        (400, "invalid mount config", StartFailed),
    ],
)
def test_messages_wait_for_what_passes_and_for_nothing_else(
    status: int, text: str, kind: type[StartFailed]
) -> None:
    assert type(start_failed(refused(status, text, what="nanoclaw-agent:1"))) is kind


def test_a_missing_image_says_how_to_build_it() -> None:
    error = refused(404, "No such image: x:1", what="x:1")
    assert isinstance(error, ImageMissing)
    assert str(error) == "the image x:1 is missing: run `nanoclaw image build`"


def test_a_name_that_is_taken_is_known_by_the_words_of_either_engine() -> None:
    docker = 'Conflict. The container name "/x" is already in use by container "1".'
    podman = 'creating container storage: the container name "x" is already in use by 1.'
    assert [type(refused(*each, what="x")) for each in ((409, docker), (500, podman))] == [NameTaken] * 2


def test_the_filter_allows_no_denied_call() -> None:
    rules = json.loads(profile())["syscalls"]
    allowed = {name for rule in rules if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]}
    assert not allowed & DENIED.keys()
    assert {"read", "write", "execve", "futex", "openat", "epoll_wait", "inotify_init1"} <= allowed
    assert set(KNOWN.read_text("ascii").split()) >= allowed


async def _pieces(*pieces: bytes) -> AsyncGenerator[bytes, None]:
    for piece in pieces:
        yield piece


async def test_output_is_read_across_pieces_and_a_broken_one_ends_it() -> None:
    frames = b"\x01\0\0\0\0\0\0\x03one" + b"\x02\0\0\0\0\0\0\x03two"
    split = Output(_pieces(*(frames[n : n + 5] for n in range(0, len(frames), 5))))
    assert [piece async for piece in split] == [b"one", b"two"]
    async with aclosing(_pieces(frames[:11], b"\xff" * 64, b"more")) as pieces:
        assert [piece async for piece in Output(pieces)] == [b"one"]
