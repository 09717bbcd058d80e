import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.cli.commands import NANOCLAW, call, change, environment, run
from tests.config.packages import CHANNEL, install


def nanoclaw(*arguments: str, **variables: str) -> tuple[int, list[str], str]:
    """Return the exit code, lines of stdout, and stderr of `nanoclaw config ...`.

    With packages of its own it is a separate process.
    """
    if "PYTHONPATH" not in variables:
        result = call("config", *arguments, **variables)
        return result.code, result.output.splitlines(), result.stderr
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
    """Return a home with one channel of a package, whose token is a secret."""
    install(tmp_path / "packages", "letterbox", CHANNEL, "nanoclaw.channels", letter="LETTER")
    (tmp_path / "config.toml").write_text(
        'max_tries = 3\n[channels.work]\ntype = "letter"\ngreeting = "hi"\ntoken = "s3cret"\n'
    )
    return tmp_path


def test_show_prints_each_value_with_its_source(home: Path) -> None:
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
def test_show_as_json_omits_secrets_even_of_unknown_channels(home: Path, *, installed: bool) -> None:
    variables = {"PYTHONPATH": str(home / "packages")} if installed else {}
    code, lines, _ = nanoclaw("show", "--json", "--home", str(home), **variables)
    rows = {row["key"]: row for row in json.loads("\n".join(lines))}
    assert code == 0
    assert rows["delivery.backoff_s"]["value"] == [5, 15, 45, 120, 300]
    assert (rows["channels.work.token"]["value"], rows["channels.work.token"]["secret"]) == (None, True)
    assert rows["channels.work.greeting"]["value"] == ("hi" if installed else None)
    assert "s3cret" not in "".join(lines)


def test_check_reports_every_problem_on_its_own_line(home: Path) -> None:
    folder = home / "groups" / "main"
    folder.mkdir(parents=True)
    (folder / "container.json").write_text('{"provder": "x", "image": 3}')
    (home / "config.toml").write_text('max_tries = 0\n[channels.lettr]\n[log]\nlevl = "info"\n')
    variables = {"PYTHONPATH": str(home / "packages"), "NANOCLAW_MODEL_PROVDER": "x"}
    code, lines, _ = nanoclaw("check", "--home", str(home), **variables)
    assert code == 1
    assert [line.removeprefix(f"{home}/").split("; ")[0] for line in lines] == [
        "config.toml line 1: max_tries must be a whole number of at least 1, got 0",
        "config.toml line 2: channels.lettr: 'lettr' is not installed",
        "config.toml line 4: log.levl is not known",
        "groups/main/container.json line 1: image must be a non-empty string, got 3",
        "groups/main/container.json line 1: provder is not known",
        f"hint: {home}/config.toml line 1: max_tries is now [retry] max_tries",
        "hint: NANOCLAW_MODEL_PROVDER: nothing reads this variable",
    ]


def test_check_reports_everything_that_a_start_would_refuse(home: Path) -> None:
    (home / "config.toml").write_text('[model]\nprovider = "gpt"\n')
    code, lines, _ = nanoclaw("check", "--json", "--home", str(home))
    [problem] = json.loads("\n".join(lines))["problems"]
    assert code == 1
    assert run(home, "hello\n").errors == [problem]


def command(home: Path, *arguments: str) -> str:
    """Return the output of a command that succeeds."""
    result = call(*arguments, "--home", str(home))
    assert result.code == 0
    return result.output


def check_lines(home: Path) -> list[str]:
    """Return the lines of a check that fails, without the home's path."""
    code, lines, _ = nanoclaw("check", "--home", str(home))
    assert code == 1
    return [line.removeprefix(f"{home}/") for line in lines]


ISOLATES = "the process runtime isolates nothing, so it runs no provider but echo, scripted, "


def test_check_names_what_the_runtime_would_refuse_to_start_for_an_agent(tmp_path: Path) -> None:
    folder = tmp_path / "groups" / "main"
    folder.mkdir(parents=True)
    (folder / "container.json").write_text(
        '{\n"image": "x",\n"limits": {"cpus": 1},\n"provider": "yyy", "network": "full"\n}'
    )
    image, limits, provider = check_lines(tmp_path)
    cannot = "the process runtime cannot honour this; remove it, or choose another [sandbox] runtime"
    assert image == f"groups/main/container.json line 2: image: {cannot}"
    assert limits == f"groups/main/container.json line 3: limits: {cannot}"
    assert provider.startswith(f"groups/main/container.json line 4: provider: {ISOLATES}")


def test_check_says_which_packages_bubblewrap_cannot_install_and_what_to_do(tmp_path: Path) -> None:
    folder = tmp_path / "groups" / "main"
    folder.mkdir(parents=True)
    (folder / "container.json").write_text('{\n"packages": {"pip": ["six"],\n"apt": ["gcc", "jq"]}\n}')
    variables = {"NANOCLAW_SANDBOX_RUNTIME": "bubblewrap"}
    code, [line], _ = nanoclaw("check", "--home", str(tmp_path), **variables)
    assert code == 1
    assert "container.json line 3: packages.apt: the bubblewrap runtime cannot honour this" in line
    assert "`sudo apt install gcc jq`" in line


def test_check_names_agents_and_sessions_whose_provider_is_refused(tmp_path: Path) -> None:
    assert run(tmp_path, "hello\n").code == 0
    [session] = json.loads(command(tmp_path, "sessions", "list", "--json"))
    command(tmp_path, "sessions", "set", session["id"], "--provider", "yyy")
    for name in ("helper", "other"):
        command(tmp_path, "agents", "create", name, "--provider", "zzz")
    (tmp_path / "groups" / "other" / "container.json").write_text('{"provider": "echo"}')  # it comes first
    of_agent, of_session = check_lines(tmp_path)
    assert of_agent.startswith(f"data/v2.db: agent helper: provider: {ISOLATES}")
    assert of_session.startswith(f"data/v2.db: session {session['id']} of main: provider: {ISOLATES}")


def test_check_names_damaged_rows_and_a_lost_central_database(tmp_path: Path) -> None:
    assert run(tmp_path, "hello\n").code == 0
    change(tmp_path / "data" / "v2.db", "UPDATE sessions SET status = 'closed'")
    [problem] = check_lines(tmp_path)
    assert problem.startswith("data/v2.db: sessions 'sess-")
    assert "status is 'closed', but must be one of active, paused, archived; correct" in problem
    (tmp_path / "data" / "v2.db").unlink()
    [problem] = check_lines(tmp_path)
    assert problem.startswith("data/v2.db: is missing, but ")


def test_check_warns_of_an_unreadable_central_database(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "v2.db").write_text("no database")
    code, [hint], _ = nanoclaw("check", "--home", str(tmp_path))
    assert (code, hint.startswith("hint: the providers of agents and sessions were not checked: ")) == (
        0,
        True,
    )


def test_check_names_a_directory_that_cannot_be_created(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "config.toml").write_text('\ndata = "file/data"')
    [problem] = check_lines(tmp_path)
    wrong = f"{tmp_path}/file must be a folder; move it away, or choose another place"
    assert problem == f"config.toml line 2: data: {wrong}"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_check_names_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o500)
    [problem] = check_lines(tmp_path)
    assert problem.startswith(f"data: you may not write in {tmp_path}/data; ")


def test_check_names_tables_of_runtimes_that_are_not_installed(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[runtimes.proces]\n[runtimes.process]\nx = 1")
    unknown, key = check_lines(tmp_path)
    assert unknown.startswith(
        "config.toml line 1: runtimes.proces: 'proces' is not installed; the nearest is process. "
    )
    assert key == "config.toml line 3: runtimes.process.x is not known; this table has no keys"


def test_show_escapes_terminal_control_characters(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('data = "a\\u001b[31m"\n[channels."x"]\n"\\u202e" = 1')
    code, lines, _ = nanoclaw("show", "--home", str(tmp_path))
    assert code == 0
    assert all(line.isprintable() for line in lines)


def test_check_of_a_good_configuration_succeeds(tmp_path: Path) -> None:
    assert nanoclaw("check", "--home", str(tmp_path)) == (0, ["the configuration is good"], "")
    code, lines, _ = nanoclaw("check", "--json", "--home", str(tmp_path), NANOCLAW_HOME="/nowhere")
    assert (code, json.loads("\n".join(lines))) == (0, {"ok": True, "problems": [], "hints": []})


def test_an_unreadable_configuration_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("= 3")
    code, [line], _ = nanoclaw("check", "--home", str(tmp_path))
    assert (code, line.startswith(f"{tmp_path}/config.toml line 1: cannot be read as TOML: ")) == (1, True)
    code, lines, error = nanoclaw("show", "--config", "/no/file")
    assert (code, lines, error) == (2, [], "nanoclaw: /no/file: there is no such configuration file\n")


@pytest.mark.parametrize("arguments", [["shw"], ["show", "--colour"], ["check", "extra"], ["show", "--home"]])
def test_a_usage_error_exits_with_2(arguments: list[str]) -> None:
    code, lines, error = nanoclaw(*arguments)
    assert (code, lines) == (2, [])
    assert "error: " in error


def test_check_names_variables_that_runners_should_get_and_that_are_not_set(tmp_path: Path) -> None:
    names = '["OPENAI_API_KEY", "HTTPS_PROXY", "SSL_*"]'
    (tmp_path / "config.toml").write_text(f"[runtime]\npass_env = {names}\n")
    code, lines, _ = nanoclaw("check", "--home", str(tmp_path), OPENAI_API_KEY="sk-1")
    place = f"{tmp_path}/config.toml line 2: runtime.pass_env"
    advice = "set it in the environment in which the host starts"
    assert (code, lines) == (0, [f"hint: {place}: HTTPS_PROXY is not set here; {advice}"])


def test_show_prints_the_names_of_passed_variables_and_no_value(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[runtime]\npass_env = ["OPENAI_API_KEY"]\n')
    code, lines, _ = nanoclaw("show", "--home", str(tmp_path), OPENAI_API_KEY="sk-1")
    [line] = [line for line in lines if line.startswith("runtime.pass_env")]
    assert (code, "[OPENAI_API_KEY]" in line) == (0, True)
    assert "sk-1" not in "\n".join(lines)


# -- models ---------------------------------------------------------------------

MODEL = """\
[model]
provider = "openai"
base_url = "http://localhost:11434/v1/"
key = { file = "key" }
fallback = { name = "small", key = { env = "SMALL_KEY" } }
"""


def test_show_prints_the_place_of_a_key_and_never_the_key(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(MODEL)
    (tmp_path / "key").write_text("sk-topsecret")
    code, lines, error = nanoclaw("show", "--home", str(tmp_path), SMALL_KEY="sk-topsecret-too")
    rows = {line.split(maxsplit=1)[0]: line for line in lines}
    assert code == 0
    assert f"the file {tmp_path}/key " in rows["model.key"]
    assert "{ name = small, key = the environment variable SMALL_KEY }" in rows["model.fallback"]
    assert rows["model.name"].split()[1:] == ["none", "default"]
    assert "topsecret" not in "".join(lines) + error
    as_json = "".join(nanoclaw("show", "--json", "--home", str(tmp_path))[1])
    assert {"key": "model.key", "value": f"the file {tmp_path}/key"}.items() <= next(
        row for row in json.loads(as_json) if row["key"] == "model.key"
    ).items()


def test_check_names_keys_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(MODEL)
    code, lines, _ = nanoclaw("check", "--home", str(tmp_path))
    file, variable = lines
    assert code == 1
    assert file.startswith(f"{tmp_path}/config.toml line 4: model.key: the key's file {tmp_path}/key cannot")
    assert variable.startswith(f"hint: {tmp_path}/config.toml line 5: model.fallback.key: the environment")
    (tmp_path / "key").write_text("sk-topsecret")
    assert nanoclaw("check", "--home", str(tmp_path), SMALL_KEY="sk-1234") == (
        0,
        ["the configuration is good"],
        "",
    )


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ('provider = "openai"\nkey = "sk-topsecret"', "line 3: model.key must be a table such as"),
        (
            'provider = "openai"\nkey = { env = "sk-topsecret" }',
            "line 3: model.key.env must be the name of an environment variable, in capitals",
        ),
        (
            'provider = "openai"\nkey = { env = "A", file = "sk-topsecret" }',
            "line 3: model.key must have exactly one of env, file and command",
        ),
        (
            'provider = "openai"\nkey = { value = "sk-topsecret" }',
            "line 3: model.key.value is not known; known are env, file, command",
        ),
        (
            'provider = "openai"\nname = "m"\nfallback = "m"',
            "line 4: model.fallback is the first model again; name another",
        ),
        (
            'base_url = "http://localhost:1/v1"',
            "line 2: model.base_url has no use: the provider 'echo' asks no",
        ),
        (
            'provider = "openai"\nname = "m"\nfallback = { provider = "opnai" }',
            "line 4: model.fallback.provider: the process runtime isolates nothing, so it runs no provider",
        ),
        ('provider = "openai"\nbase_url = "localhost"', "line 3: model.base_url must be an address such as"),
    ],
)
def test_check_names_settings_of_a_model_that_cannot_work(tmp_path: Path, table: str, problem: str) -> None:
    (tmp_path / "config.toml").write_text(f"[model]\n{table}\n")
    code, lines, error = nanoclaw("check", "--home", str(tmp_path), OPENAI_API_KEY="sk-1234")
    assert code == 1
    assert lines[0].startswith(f"{tmp_path}/config.toml {problem}")
    assert "topsecret" not in "".join(lines) + error


def test_check_names_the_models_of_agents(tmp_path: Path) -> None:
    folder = tmp_path / "groups" / "main"
    folder.mkdir(parents=True)
    model = {"provider": "nosuch", "key": {"env": "AGENT_KEY"}, "baseUrl": "http://a/v1"}
    (folder / "container.json").write_text(json.dumps({"model": model}))
    (tmp_path / "config.toml").write_text('[runtime]\npass_env = ["AGENT_*"]\n')
    code, lines, _ = nanoclaw("check", "--home", str(tmp_path), AGENT_KEY="sk-1")
    provider, passed = lines
    assert code == 1
    assert provider.startswith(
        f"{folder}/container.json line 1: model.provider: the process runtime isolates"
    )
    assert "runtime.pass_env: AGENT_KEY holds the key of a model, so no runner is given it" in passed
