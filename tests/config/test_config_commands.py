import json
import subprocess
from pathlib import Path

import pytest

from tests.cli.commands import NANOCLAW, environment, run
from tests.config.packages import CHANNEL, install


def nanoclaw(*arguments: str, **variables: str) -> tuple[int, list[str], str]:
    """Exit code, lines of stdout, and stderr of `nanoclaw config ...`."""
    done = subprocess.run(
        [*NANOCLAW, "config", *arguments],
        capture_output=True,
        text=True,
        env=environment(**variables),
        check=False,
    )
    return done.returncode, done.stdout.splitlines(), done.stderr


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """With one channel of a package, whose token is a secret."""
    install(tmp_path / "packages", "letterbox", CHANNEL, "nanoclaw.channels", letter="LETTER")
    (tmp_path / "config.toml").write_text(
        'max_tries = 3\n[channels.work]\ntype = "letter"\ngreeting = "hi"\ntoken = "s3cret"\n'
    )
    return tmp_path


def test_show_has_each_value_with_where_it_comes_from(home: Path) -> None:
    variables = {"PYTHONPATH": str(home / "packages"), "NANOCLAW_LOG_LEVEL": "debug"}
    code, lines, _ = nanoclaw("show", "--home", str(home), "--data", str(home / "d"), **variables)
    rows = {key: (value, place) for key, value, place in (line.split(maxsplit=2) for line in lines)}
    file = f"{home}/config.toml"
    assert code == 0
    assert rows["home"] == (str(home), "--home")
    assert rows["data"] == (str(home / "d"), "--data")
    assert rows["retry.max_tries"] == ("3", f"{file} line 1")
    assert rows["retry.base_s"] == ("5", "default")
    assert rows["log.level"] == ("debug", "NANOCLAW_LOG_LEVEL")
    assert rows["channels.work.type"] == ("letter", f"{file} line 3")
    assert rows["channels.work.greeting"] == ("hi", f"{file} line 4")
    assert rows["channels.work.token"] == ("(secret)", f"{file} line 5")
    assert rows["channels.work.pages"] == ("[1]", "default")
    assert len({line.index(place) for line in lines for place in (" default",) if place in line}) == 1


@pytest.mark.parametrize("installed", [True, False])
def test_show_as_json_has_no_secrets_also_of_channels_that_nobody_knows(
    home: Path, *, installed: bool
) -> None:
    variables = {"PYTHONPATH": str(home / "packages")} if installed else {}
    code, lines, _ = nanoclaw("show", "--json", "--home", str(home), **variables)
    rows = {row["key"]: row for row in json.loads("\n".join(lines))}
    assert code == 0
    assert rows["delivery.backoff_s"]["value"] == [5, 15, 45, 120, 300]
    assert (rows["channels.work.token"]["value"], rows["channels.work.token"]["secret"]) == (None, True)
    assert rows["channels.work.greeting"]["value"] == ("hi" if installed else None)
    assert "s3cret" not in "".join(lines)


def test_check_says_all_that_is_wrong_one_line_each(home: Path) -> None:
    folder = home / "groups" / "main"
    folder.mkdir(parents=True)
    (folder / "container.json").write_text('{"provder": "x", "image": 3}')
    (home / "config.toml").write_text('max_tries = 0\n[channels.lettr]\n[log]\nlevl = "info"\n')
    variables = {"PYTHONPATH": str(home / "packages"), "NANOCLAW_MODEL_PROVDER": "x"}
    code, lines, _ = nanoclaw("check", "--home", str(home), **variables)
    assert code == 1
    assert [line.removeprefix(f"{home}/").split("; ")[0] for line in lines] == [
        "config.toml line 1: max_tries must be a whole number of at least 1, got 0",
        "config.toml line 4: log.levl is not known",
        "config.toml line 2: channels.lettr: 'lettr' is not installed",
        "groups/main/container.json: image must be a non-empty string, got 3",
        "groups/main/container.json: provder is not known",
        f"hint: {home}/config.toml line 1: max_tries is now [retry] max_tries",
        "hint: NANOCLAW_MODEL_PROVDER: nothing reads this variable",
    ]


def test_check_knows_what_a_start_refuses(home: Path) -> None:
    (home / "config.toml").write_text('[model]\nprovider = "gpt"\n')
    code, lines, _ = nanoclaw("check", "--json", "--home", str(home))
    [problem] = json.loads("\n".join(lines))["problems"]
    assert code == 1
    assert run(home, "hello\n").errors == [problem]


def test_check_of_a_good_configuration_succeeds(tmp_path: Path) -> None:
    assert nanoclaw("check", "--home", str(tmp_path)) == (0, ["the configuration is good"], "")
    code, lines, _ = nanoclaw("check", "--json", "--home", str(tmp_path), NANOCLAW_HOME="/nowhere")
    assert (code, json.loads("\n".join(lines))) == (0, {"ok": True, "problems": [], "hints": []})


def test_what_cannot_be_read_at_all_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("= 3")
    code, [line], _ = nanoclaw("check", "--home", str(tmp_path))
    assert (code, line.startswith(f"{tmp_path}/config.toml line 1: cannot be read as TOML: ")) == (1, True)
    code, lines, error = nanoclaw("show", "--config", "/no/file")
    assert (code, lines, error) == (2, [], "nanoclaw: /no/file: there is no such configuration file\n")


@pytest.mark.parametrize("arguments", [["shw"], ["show", "--colour"], ["check", "extra"], ["show", "--home"]])
def test_bad_usage_is_2(arguments: list[str]) -> None:
    code, lines, error = nanoclaw(*arguments)
    assert (code, lines) == (2, [])
    assert "error: " in error
