import subprocess
import sys
from pathlib import Path

import pytest

from nanoclaw.cli import INTERRUPTED, command, main
from tests.cli.commands import environment, run


def test_help_lists_every_option_and_the_meaning_of_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["run", "--help"])
    assert end.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for option in (*command.FLAGS, "home", "config", "headless", "drain"):
        assert f"--{option.replace('_', '-')} " in text
    assert "Exit codes: 0 all is well; 1 a message" in text


def test_an_unknown_option_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["run", "--colour"], ["run", "--drain", "soon"], ["run", "--drain", "-1"], ["fly"], []):
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert end.value.code == 2
        assert "error: " in capsys.readouterr().err


def test_ctrl_c_before_the_host_runs_prints_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_arguments: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "run_command", interrupt)
    assert main(["run"]) == INTERRUPTED


def test_importing_the_package_is_cheap_and_provides_its_names() -> None:
    program = (
        "import sys, nanoclaw; assert 'trio' not in sys.modules;"
        "assert set(nanoclaw.__all__) <= set(dir(nanoclaw));"
        "[getattr(nanoclaw, name) for name in nanoclaw.__all__];"
        "import nanoclaw.host as host; assert nanoclaw.open_host is host.open_host"
    )
    subprocess.run([sys.executable, "-c", program], env=environment(), check=True)


def test_old_names_and_unread_variables_are_reported_at_start(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("max_tries = 3\n")
    result = run(tmp_path, "hello\n", NANOCLAW_MODEL_PROVDER="echo")
    assert (result.code, result.output) == (0, "echo: hello\n")
    [old], [unread] = result.logged("config.old_name"), result.logged("config.unread_variable")
    assert old["hint"] == f"{tmp_path}/config.toml line 1: max_tries is now [retry] max_tries"
    assert unread["reason"].startswith("NANOCLAW_MODEL_PROVDER: nothing reads this variable; the nearest is ")
