"""The secret of a channel is read when it connects; a new one is noticed without reading it over and over."""

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from nanoclaw.channels.protocol import ChannelUnavailable
from nanoclaw.channels.secrets import LOOK_S, Secret
from nanoclaw.config.model import KeyConfig
from nanoclaw.gateway.keys import KeyUnavailable


class Reader:
    """Reads files at once, and counts."""

    def __init__(self) -> None:
        self.times = 0

    async def __call__(self, key: KeyConfig) -> str:
        self.times += 1
        await trio.lowlevel.checkpoint()
        assert key.file is not None
        try:
            return key.file.read_text().strip()
        except OSError as error:
            raise KeyUnavailable("the file is gone") from error


@pytest.fixture
def file(tmp_path: Path) -> Path:
    place = tmp_path / "token"
    place.write_text("one\n")
    return place


def write(file: Path, secret: str) -> None:
    file.write_text(f"{secret}\n")


def remove(file: Path) -> None:
    file.unlink()


def replace(file: Path, secret: str) -> None:
    other = file.with_name("other")
    write(other, secret)
    other.replace(file)


async def test_a_new_secret_is_noticed(file: Path, autojump_clock: MockClock) -> None:
    secret = Secret(KeyConfig(file=file), Reader())
    assert await secret.read() == "one"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(secret.changed)
        await trio.sleep(LOOK_S * 10.5)
        write(file, "two")
    assert await secret.read() == "two"
    assert autojump_clock.current_time() == pytest.approx(LOOK_S * 11)


async def test_an_unchanged_file_is_not_read_again(file: Path, autojump_clock: MockClock) -> None:
    del autojump_clock
    reader = Reader()
    secret = Secret(KeyConfig(file=file), reader)
    await secret.read()
    with trio.move_on_after(600):
        await secret.changed()
    assert reader.times == 1


async def test_the_same_secret_in_a_new_file_is_no_change(file: Path, autojump_clock: MockClock) -> None:
    del autojump_clock
    reader = Reader()
    secret = Secret(KeyConfig(file=file), reader)
    await secret.read()
    replace(file, "one")
    with trio.move_on_after(600) as scope:
        await secret.changed()
    assert (scope.cancelled_caught, reader.times) == (True, 2)


async def test_a_secret_that_is_gone_is_no_change_until_it_is_back(
    file: Path, autojump_clock: MockClock
) -> None:
    del autojump_clock
    secret = Secret(KeyConfig(file=file), Reader())
    await secret.read()
    remove(file)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(secret.changed)
        await trio.sleep(LOOK_S * 3)
        write(file, "two")


async def test_a_watched_secret_ends_the_connection_when_it_changes(
    file: Path, autojump_clock: MockClock
) -> None:
    del autojump_clock
    secret = Secret(KeyConfig(file=file), Reader())
    await secret.read()
    write(file, "two")
    with pytest.raises(ChannelUnavailable, match="the secret has changed"):
        await secret.watch()


async def test_a_variable_and_a_command_do_not_change(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, autojump_clock: MockClock
) -> None:
    del autojump_clock
    ran = tmp_path / "ran"
    monkeypatch.setenv("A_TOKEN", "one")
    for place in (KeyConfig(env="A_TOKEN"), KeyConfig(command=("touch", str(ran)))):
        with trio.move_on_after(86_400) as scope:
            await Secret(place).changed()
        assert scope.cancelled_caught
    assert not ran.exists()


async def test_a_secret_that_cannot_be_read_is_named_without_its_value(tmp_path: Path) -> None:
    file = tmp_path / "token"
    write(file, "swordfish")
    secret = Secret(KeyConfig(file=file))
    await secret.read()
    remove(file)
    with pytest.raises(ChannelUnavailable, match="token cannot be read") as caught:
        await secret.read()
    assert caught.value.condition == "unauthorized"
    assert "swordfish" not in f"{secret!r} {caught.value!r}"
