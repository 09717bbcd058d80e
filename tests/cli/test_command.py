import subprocess
import sys
from pathlib import Path

import pytest

from nanoclaw.cli import INTERRUPTED, command, main
from nanoclaw.config import Config, ConfigError, load_config
from tests.cli.commands import environment


def load(home: Path, **environ: str) -> Config:
    return load_config(home=home, environ=environ)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("runtime = ", "cannot be read as TOML: "),
        (
            'provider = "gpt"',
            "provider: the process runtime isolates nothing, so it runs no provider but echo",
        ),
        ('timezone = "Mars"', "timezone: 'Mars' is no IANA time zone such as Europe/Berlin"),
        ('max_tries = "many"', "max_tries: a whole number of at least 1 is wanted, not 'many'"),
        ("stop_grace_s = -1", "stop_grace_s: a number of at least 0 is wanted, not -1"),
        ("stop_grace_s = nan", "stop_grace_s: a number of at least 0 is wanted, not nan"),
        ("delivery_backoff_s = 5", "delivery_backoff_s: a list is wanted, not 5"),
        ("assistant_name = ''", "assistant_name: a text is wanted, not ''"),
        ("data = 7", "data: a path is wanted, not 7"),
        ('data = "a\\u0000b"', "data: a path is wanted, not "),
        ('data = "~nobody-of-that-name/x"', "begins with ~ and a user that is not known here"),
        ('assistant_name = "a\\u0000b"', "assistant_name: a text is wanted, not "),
        ("runner_idle_s = 0", "runner_idle_s: a number of at least 1 is wanted, not 0"),
        ("keep_files_s = 5", "keep_files_s: a number of at least 3600 is wanted, not 5"),
        ("keep_messages_s = 3600", "keep_messages_s: a number of at least 86400 is wanted, not 3600"),
        ("keep_acks_s = -1", "keep_acks_s: a number of at least 0 is wanted, not -1"),
        ("runner_command = 'sh -c \"'", "cannot be split into words: No closing quotation"),
        ("runner_command = [1]", "runner_command: a text is wanted, not 1"),
    ],
)
def test_a_bad_setting_names_file_key_and_what_is_wanted(tmp_path: Path, text: str, error: str) -> None:
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}/config.toml: ")
    assert error in str(caught.value)


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    (tmp_path / "config.toml").mkdir()
    with pytest.raises(ConfigError, match=r"config.toml: cannot be read: Is a directory; check it, or name"):
        load(tmp_path)
    with pytest.raises(ConfigError, match=r"/no/file: there is no such configuration file"):
        load_config(home=tmp_path, file=Path("/no/file"), environ={})


def test_a_bad_variable_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"^NANOCLAW_RETRY_BASE_S: a number of at least 0 is wanted, not 'x'$"
    ):
        load(tmp_path, NANOCLAW_RETRY_BASE_S="x")


def test_options_come_before_variables_before_the_file_before_defaults(tmp_path: Path) -> None:
    def level(flag: str | None, *, variable: bool, file: bool) -> str:
        (tmp_path / "config.toml").write_text('log_level = "debug"' if file else "")
        environ = {"NANOCLAW_LOG_LEVEL": "error"} if variable else {}
        defaults, flags = {"log_level": "warning"}, {"log_level": flag}
        return load_config(home=tmp_path, flags=flags, environ=environ, defaults=defaults).log_level

    assert level("info", variable=True, file=True) == "info"
    assert level(None, variable=True, file=True) == "error"
    assert level(None, variable=False, file=True) == "debug"
    assert level(None, variable=False, file=False) == "warning"


def test_a_command_is_a_list_of_words_or_what_a_shell_would_split(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('runner_command = ["my runner", "--fast"]')
    assert load(tmp_path).runner_command == ("my runner", "--fast")
    assert load(tmp_path, NANOCLAW_RUNNER_COMMAND="'your runner' -x").runner_command == ("your runner", "-x")


def test_relative_paths_are_below_the_home(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('data = "there"')
    assert load(tmp_path).data == tmp_path / "there"


def test_help_names_every_option_and_what_exit_codes_mean(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["run", "--help"])
    assert end.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for option in (*command.FLAGS, "home", "config", "headless", "drain"):
        assert f"--{option.replace('_', '-')} " in text
    assert "Exit codes: 0 all is well; 1 a message" in text


def test_an_unknown_option_is_an_error_of_usage(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["run", "--colour"], ["run", "--drain", "soon"], ["run", "--drain", "-1"], ["fly"], []):
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert end.value.code == 2
        assert "error: " in capsys.readouterr().err


def test_ctrl_c_before_the_host_runs_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_arguments: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "run_command", interrupt)
    assert main(["run"]) == INTERRUPTED


def test_importing_the_package_is_cheap_and_its_names_are_there() -> None:
    program = (
        "import sys, nanoclaw; assert 'trio' not in sys.modules;"
        "assert set(nanoclaw.__all__) <= set(dir(nanoclaw));"
        "[getattr(nanoclaw, name) for name in nanoclaw.__all__];"
        "import nanoclaw.host as host; assert nanoclaw.open_host is host.open_host"
    )
    subprocess.run([sys.executable, "-c", program], env=environment(), check=True)
