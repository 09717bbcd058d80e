"""A provider of another package: one file, found by its entry point, and run by the program."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from agent_runner.errors import ConfigError
from agent_runner.providers import load
from tests.runner.test_runner_process import environment, program, run
from tests.runner.world import World

SHOUT = """
from agent_runner.providers import SimpleProvider
from agent_runner.records import Reply, Result


class Shout(SimpleProvider):
    name = "shout"

    async def run(self, turn, tools, /):
        [message] = turn.messages
        return Result((Reply(f"{message.content['text'].upper()}!", message.id),))
"""
UNABLE = """
from contextlib import asynccontextmanager


class Unable:
    name = "unable"

    @asynccontextmanager
    async def open(self, context):
        async with context.http.open() as client:  # httpx2 is not installed here
            yield client
"""


TIDY = """
from contextlib import asynccontextmanager


class Tidy:
    name = "tidy"

    @asynccontextmanager
    async def open(self, context):
        try:
            yield self
        finally:
            (context.workspace / "closed").touch()

    async def run(self, turn, tools, /):
        raise NotImplementedError
"""


def install(folder: Path, package: str, code: str, **providers: str) -> None:
    """Install a package of one module, as pip would leave it."""
    (folder / f"{package}.py").write_text(code)
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = [f"{name} = {value}" for name, value in providers.items()]
    (info / "entry_points.txt").write_text("\n".join(["[nanoclaw.providers]", *lines]))


def environ(world: World, folder: Path, provider: str) -> Mapping[str, str]:
    found = environment(world, AGENT_PROVIDER=provider)
    return {**found, "PYTHONPATH": f"{found['PYTHONPATH']}:{folder}"}


async def test_an_installed_provider_takes_the_turns(world: World, tmp_path: Path) -> None:
    install(tmp_path, "shouting", SHOUT, shout="shouting:Shout")
    world.put(2, "hello")
    async with program(environ(world, tmp_path, "shout")) as running:
        await running.event("turn.ended")
    assert world.texts() == ["HELLO!"]


async def test_the_end_of_the_lifeline_closes_it(world: World, tmp_path: Path) -> None:
    world.put(2)
    install(tmp_path, "tidy_provider", TIDY, tidy="tidy_provider:Tidy")
    async with program({**environ(world, tmp_path, "tidy"), "NANOCLAW_LIFELINE": "stdin"}) as running:
        await running.event("turn.released")
        assert running.process.stdin is not None
        await running.process.stdin.aclose()
        assert await running.process.wait() == 0
    assert (world.config.workspace / "closed").exists()


async def test_a_provider_that_cannot_be_opened_exits_with_five_and_releases_due_messages(
    world: World, tmp_path: Path
) -> None:
    install(tmp_path, "unable_provider", UNABLE, unable="unable_provider:Unable")
    (tmp_path / "httpx2.py").write_text("raise ImportError('no')")
    world.put(2, "hello")
    code, reason = await run(environ(world, tmp_path, "unable"))
    expected = "provider 'unable' cannot be opened: httpx2 is not installed; install it where the runner runs"
    assert (code, reason) == (5, expected)
    assert world.out("SELECT status, error FROM processing_ack") == [("released", expected)]


async def test_one_that_cannot_be_imported_exits_with_two(world: World, tmp_path: Path) -> None:
    install(tmp_path, "broken_provider", "import no_such_library", broken="broken_provider:Broken")
    code, reason = await run(environ(world, tmp_path, "broken"))
    assert code == 2
    assert reason == (
        "AGENT_PROVIDER='broken' cannot be created: ModuleNotFoundError: No module named 'no_such_library'"
    )


def test_an_object_without_open_is_not_a_provider(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    install(tmp_path, "old_provider", "class Old:\n    name = 'old'\n", old="old_provider:Old")
    with pytest.raises(ConfigError, match="'old' makes Old, which has no method `open`; SimpleProvider has"):
        load("old")


def test_two_packages_may_not_offer_the_same_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    install(tmp_path, "one_provider", SHOUT, shout="one_provider:Shout")
    install(tmp_path, "other_provider", SHOUT, shout="other_provider:Shout")
    with pytest.raises(ConfigError, match="is offered by 2 installed packages: one_provider:Shout, other"):
        load("shout")


def test_an_unknown_one_is_refused_with_those_there_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    install(tmp_path, "shouting", SHOUT, shout="shouting:Shout")
    with pytest.raises(
        ConfigError, match="'mute' is unknown; known: anthropic, claude, echo, openai, scripted, shout"
    ):
        load("mute")


def test_an_installed_package_cannot_replace_one_of_ours(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    install(tmp_path, "shouting", SHOUT, echo="shouting:Shout")
    assert load("echo").name == "echo"
