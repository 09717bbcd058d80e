"""The three places of a key, and that no error has a part of it."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from nanoclaw.config.model import KeyConfig
from nanoclaw.gateway import keys
from nanoclaw.gateway.keys import KeyUnavailable, read_key
from tests.gateway.stage import GUARD_S

SECRET = "sk-topsecret-1"  # noqa: S105 -- a made-up one


def printing(code: str) -> KeyConfig:
    return KeyConfig(command=(sys.executable, "-c", code))


async def failure(key: KeyConfig) -> str:
    with pytest.raises(KeyUnavailable) as failed:
        await read_key(key)
    assert SECRET not in str(failed.value)
    assert failed.value.__cause__ is None
    return str(failed.value)


async def test_a_key_is_read_anew_at_each_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "key"
    command = printing(f"print(open({str(file)!r}).read())")
    for value in (SECRET, "sk-other"):
        monkeypatch.setenv("A_KEY", f" {value}\n")
        file.write_text(f"{value}\n")
        for place in (KeyConfig(env="A_KEY"), KeyConfig(file=file), command):
            assert await read_key(place) == value


async def test_a_variable_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("A_KEY", raising=False)
    assert "A_KEY is not set; set it" in await failure(KeyConfig(env="A_KEY"))
    monkeypatch.setenv("A_KEY", "  ")
    assert "A_KEY is not set; set it" in await failure(KeyConfig(env="A_KEY"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"\n \n", "it is empty"),
        (f"{SECRET}\nmore".encode(), "one line of printable ASCII"),
        (f"{SECRET}\r\nx-evil: 1".encode(), "one line of printable ASCII"),
        (f"{SECRET}\0".encode(), "one line of printable ASCII"),
        (f"{SECRET}\u00e9".encode(), "one line of printable ASCII"),
        (SECRET.encode() * 1000, "more than 8192 bytes"),
    ],
)
async def test_a_file_without_a_proper_key_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    assert reason in await failure(KeyConfig(file=file))


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "No such file" in await failure(KeyConfig(file=tmp_path / "none"))
    assert "not a regular file" in await failure(KeyConfig(file=tmp_path / "pipe"))
    before = descriptors()
    assert "not a regular file" in await failure(KeyConfig(file=tmp_path))
    assert descriptors() == before


async def test_a_command_that_fails_is_named_without_its_output() -> None:
    key = printing(f"import sys; print('{SECRET}'); print('{SECRET}', file=sys.stderr); sys.exit(3)")
    assert "ended with status 3; run it by hand" in await failure(key)
    assert "cannot be started" in await failure(KeyConfig(command=("/no/such/program", SECRET)))
    assert "prints more than 8192 bytes" in await failure(printing("while True: print('x' * 1000)"))


async def test_a_command_that_hangs_is_killed_with_its_children(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(keys, "COMMAND_S", 0.5)
    child = f"import time; {str(tmp_path)!r}; time.sleep(60)"
    key = printing(f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])")
    began = time.monotonic()
    assert "took longer than" in await failure(key)
    assert time.monotonic() - began < 5
    with trio.fail_after(GUARD_S):
        while any(str(tmp_path).encode() in line for line in command_lines()):  # noqa: ASYNC110 -- nobody tells
            await trio.sleep(0.01)


def command_lines() -> Iterator[bytes]:
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            yield file.read_bytes()


def test_no_text_of_a_place_has_more_than_the_place() -> None:
    key = KeyConfig(command=("printf", SECRET))
    assert SECRET not in repr(key) + str(key)
