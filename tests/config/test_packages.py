"""A channel and a runtime, each added by one file of a package; and packages that are broken."""

import re
from pathlib import Path

import pytest
import trio

from nanoclaw import Address, HostFailed, open_host
from nanoclaw.channels.factory import configured_channels
from nanoclaw.config import Config, ConfigError, load_config
from nanoclaw.runtimes import configured_runtime
from tests.cli.commands import run_until
from tests.config.packages import CHANNEL, RUNTIME, install
from tests.host.homes import GUARD_S

CHANNELS, RUNTIMES = "nanoclaw.channels", "nanoclaw.runtimes"
FACTORIES = {
    "letter": "LETTER",
    "wrong": "NO_FACTORY",
    "deaf": "DEAF",
    "broken": "BROKEN",
    "missing": "NOBODY",
}


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = install(tmp_path / "packages", "letterbox", CHANNEL, CHANNELS, **FACTORIES)
    install(folder, "void", RUNTIME, RUNTIMES, nowhere="NOWHERE")
    install(folder, "halved", "import a_module_that_nobody_has", CHANNELS, halved="LETTER")
    install(folder, "rival", CHANNEL, CHANNELS, contested="LETTER")
    install(folder, "other_rival", CHANNEL, CHANNELS, contested="LETTER")
    monkeypatch.syspath_prepend(str(folder))
    return folder


def load(home: Path, text: str) -> Config:
    (home / "config.toml").write_text(text)
    return load_config(home=home, environ={})


def problems(home: Path, text: str) -> list[str]:
    """Return the problems of the channels, without the file's path."""
    with pytest.raises(ConfigError) as caught:
        configured_channels(load(home, text))
    return [problem.removeprefix(f"{home}/config.toml ") for problem in caught.value.problems]


TWO = """\
[channels.work]
type = "letter"
greeting = "from work"
[channels.letter]
greeting = "from home"
token = "s3cret"
"""


@pytest.mark.usefixtures("packages")
async def test_two_channels_of_one_type_have_separate_chats(tmp_path: Path) -> None:
    config = load(tmp_path, TWO)
    channels = configured_channels(config)
    assert [channel.channel_type for channel in channels] == ["work", "letter"]
    assert "s3cret" not in repr(config) + repr(channels)
    async with open_host(config) as host:
        for name in ("work", "letter"):
            await host.admin.wirings.connect(Address(name, "box"), "main", policy="public")
    answers = {name: tmp_path / "data/channels" / name / "answer" for name in ("work", "letter")}
    with trio.fail_after(GUARD_S):
        async with open_host(config, channels=channels):
            while not all(answer.exists() for answer in answers.values()):  # noqa: ASYNC110 -- nobody tells
                await trio.sleep(0.02)
    assert answers["work"].read_text() == "echo: from work"
    assert answers["letter"].read_text() == "echo: from home"


def test_a_run_starts_the_configured_channels(tmp_path: Path, packages: Path) -> None:
    (tmp_path / "config.toml").write_text(TWO)
    result = run_until("routing.new_chat", tmp_path, "", "--headless", PYTHONPATH=str(packages))
    assert result.code == 0


@pytest.mark.usefixtures("packages")
@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ("[channels.lettr]", "line 1: channels.lettr: 'lettr' is not installed; the nearest is letter. "),
        ("[channels.a]\ntype = 'lettr'", "line 2: channels.a.type: 'lettr' is not installed; the nearest is"),
        ("[channels.a]\ntype = 3", "line 2: channels.a.type must be a non-empty string, got 3"),
        (
            "[channels.cli]\ntype = 'letter'",
            "line 1: channels.cli: cli is the terminal's name; choose another",
        ),
        ("[channels.agent]\ntype = 'letter'", "line 1: channels.agent: agent is the name under which agents"),
        ("[channels.letter]", "line 1: channels.letter.greeting is missing"),
        (
            "[channels.letter]\ngreeting = 'x'\ntokn = 'x'",
            "line 3: channels.letter.tokn is not known; the nearest is token",
        ),
        (
            "[channels.letter]\ngreeting = 'x'\ntoken = 31337",
            "line 3: channels.letter.token must be a non-empty string; its value is not shown",
        ),
        (
            "[channels.letter]\ngreeting = 'x'\npages = [1, 'two']",
            "line 3: channels.letter.pages[1] must be a whole number",
        ),
        (
            "[channels.halved]",
            "line 1: channels.halved: 'halved' of halved 1.0 cannot be imported from halved:LETTER: Module",
        ),
        (
            "[channels.missing]",
            "line 1: channels.missing: 'missing' of letterbox 1.0 cannot be imported from letterbox:NOBODY: ",
        ),
        (
            "[channels.wrong]",
            "line 1: channels.wrong: 'wrong' of letterbox 1.0 is wrong: letterbox:NO_FACTORY must be a ",
        ),
        (
            "[channels.contested]",
            "line 1: channels.contested: several packages provide 'contested': other_rival 1.0, rival 1.0",
        ),
        (
            "[channels.deaf]\ngreeting = 'x'",
            "line 1: channels.deaf: its package made <object object at ",
        ),
        (
            "[channels.broken]\ngreeting = 'x'",
            "line 1: channels.broken: the channel cannot be made: ZeroDivisionError: division by zero",
        ),
    ],
)
def test_a_channel_that_cannot_be_created_is_one_line(tmp_path: Path, table: str, problem: str) -> None:
    [found] = problems(tmp_path, table)
    assert found.startswith(problem)
    assert "\n" not in found


@pytest.mark.usefixtures("packages")
def test_all_channels_that_cannot_be_created_are_named_at_once(tmp_path: Path) -> None:
    assert (
        len(problems(tmp_path, "[channels.lettr]\n[channels.halved]\n[channels.broken]\ngreeting = 'x'")) == 3
    )


@pytest.mark.usefixtures("packages")
async def test_a_runtime_of_a_package_is_created_with_its_table(tmp_path: Path) -> None:
    config = load(tmp_path, '[sandbox]\nruntime = "nowhere"\n[runtimes.nowhere]\nreason = "closed"')
    runtime = configured_runtime(config)
    assert (runtime.name, runtime.refusal("echo")) == ("nowhere", None)
    async with open_host(config) as host:
        assert host.config.sandbox.runtime == "nowhere"


@pytest.mark.usefixtures("packages")
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "[sandbox]\nruntime = 'nowere'",
            "line 2: sandbox.runtime: 'nowere' is not installed; the nearest is nowhere. Install the package",
        ),
        (
            "[sandbox]\nruntime = 'nowhere'\n[runtimes.nowhere]\nreasn = 'x'",
            "line 4: runtimes.nowhere.reasn is not known; the nearest is reason",
        ),
        (
            "[sandbox]\nruntime = 'nowhere'\n[model]\nprovider = 'gpt'",
            "line 4: model.provider: nowhere runs no gpt",
        ),
        (
            "[model]\nprovider = 'gpt'",
            "line 2: model.provider: the process runtime isolates nothing, so it runs no provider but echo, ",
        ),
        (
            "[runtimes.process]\nspeed = 3",
            "line 2: runtimes.process.speed is not known; this table has no keys",
        ),
    ],
)
async def test_a_host_whose_runtime_cannot_be_created_does_not_start(
    tmp_path: Path, text: str, problem: str
) -> None:
    config = load(tmp_path, text)
    with pytest.raises(HostFailed, match=f"^{re.escape(f'{tmp_path}/config.toml {problem}')}"):
        async with open_host(config):
            pass
    assert not (tmp_path / "data").exists()
