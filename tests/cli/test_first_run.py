import os
import re
import shutil
import stat
import tomllib
from pathlib import Path

import pytest
from attrs import frozen

from nanoclaw.cli.first_run import prepare_home
from nanoclaw.config import Config, ConfigError, load_config
from nanoclaw.config.keys import KEYS
from tests.cli.commands import change, rows, run

WRITTEN = {"model": {}, "sandbox": {"runtime": "process"}, "log": {}}
TABLES = ("meta", "users", "user_roles", "agent_groups", "messaging_groups", "messaging_group_agents")


@frozen
class State:
    """The state after a run: rows that a start may write, and files that a first run writes."""

    rows: dict[str, list[tuple[object, ...]]]
    files: dict[str, tuple[bytes, int]]


def state(home: Path) -> State:
    """`last_active` and the like are a session's, so of sessions only what makes them is looked at."""
    database = home / "data/v2.db"
    found = {table: rows(database, f"SELECT * FROM {table}") for table in TABLES}  # noqa: S608 -- constants
    found["sessions"] = rows(database, "SELECT id, agent_group_id, created_at FROM sessions")
    files = [home / "config.toml", *(file for file in home.glob("groups/**/*") if file.is_file())]
    return State(found, {str(file): (file.read_bytes(), file.stat().st_mtime_ns) for file in files})


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the home of a first run under a umask that grants everyone access."""
    umask = os.umask(0)
    try:
        made = tmp_path_factory.mktemp("first") / "home"
        run(made, "first\n")
    finally:
        os.umask(umask)
    return made


def test_the_first_run_creates_an_owner_an_agent_and_the_terminals_chat(home: Path) -> None:
    made = state(home).rows
    assert [row[0] for row in made["users"]] == ["cli:local"]
    assert [row[:2] for row in made["user_roles"]] == [("cli:local", "owner")]
    assert [row[2] for row in made["agent_groups"]] == ["main"]
    assert [row[1:3] for row in made["messaging_groups"]] == [("cli", "terminal")]
    assert len(made["messaging_group_agents"]) == 1
    assert {"install_id", "bootstrapped_at"} <= {key for key, _ in made["meta"]}


def test_only_the_user_can_access_the_created_files(home: Path) -> None:
    for path in (home, *home.rglob("*")):
        wanted = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.lstat().st_mode) == wanted, path


def test_later_runs_change_nothing_and_do_not_restore_removed_rows(home: Path) -> None:
    (home / "groups/main/workspace/CLAUDE.md").unlink()
    before = state(home)
    run(home, "second\n")
    assert state(home) == before


def test_a_database_from_another_build_keeps_its_agent_and_gains_the_terminal(
    home: Path, tmp_path: Path
) -> None:
    shutil.copytree(home, tmp_path, dirs_exist_ok=True)
    database = tmp_path / "data/v2.db"
    change(database, "DELETE FROM meta; DELETE FROM agent_destinations; DELETE FROM messaging_group_agents")
    before = state(tmp_path).rows["agent_groups"]
    assert run(tmp_path, "hello\n").output == "echo: hello\n"
    assert state(tmp_path).rows["agent_groups"] == before


def configuration(home: Path, runtime: str = "process") -> Config:
    return load_config(home=home, flags={"runtime": runtime}, environ={})


def test_the_written_configuration_names_the_runtime_and_can_be_read_back(tmp_path: Path) -> None:
    config = configuration(tmp_path)
    prepare_home(config, write_config=True)
    text = (tmp_path / "config.toml").read_text()
    assert tomllib.loads(text) == WRITTEN
    assert load_config(home=tmp_path, environ={}) == config
    commented = "\n".join(
        line.removeprefix("# ") for line in text.splitlines() if re.match(r"(# )?\w+ = |\[", line)
    )
    (tmp_path / "config.toml").write_text(commented)
    origins = load_config(home=tmp_path, environ={}).origins
    set_ = {key.name for key in KEYS if origins.place(key.path) != "default"}
    assert set_ == {"timezone", "model.provider", "sandbox.runtime", "log.level"}


def test_no_configuration_is_written_if_the_user_names_one(tmp_path: Path) -> None:
    prepare_home(configuration(tmp_path), write_config=False)
    assert not (tmp_path / "config.toml").exists()


def test_a_file_half_written_by_a_first_run_is_written_again(tmp_path: Path) -> None:
    (tmp_path / ".config.toml.partial").write_text("runt")
    prepare_home(configuration(tmp_path), write_config=True)
    assert tomllib.loads((tmp_path / "config.toml").read_text()) == WRITTEN
    assert not (tmp_path / ".config.toml.partial").exists()


def test_a_home_that_is_a_file_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "home").touch()
    config = Config(tmp_path / "home", tmp_path / "data", tmp_path / "groups")
    with pytest.raises(ConfigError, match=r"home: cannot be made: File exists; .* choose another place"):
        prepare_home(config, write_config=True)


BWRAP = "#!/bin/sh\necho 'bwrap: No permissions' >&2\nexit 1\n"


@pytest.fixture
def machine(tmp_path: Path) -> dict[str, str]:
    """Return the variables of a machine without an engine, where `bwrap` makes no sandbox."""
    program = tmp_path / "bin" / "bwrap"
    program.parent.mkdir()
    program.write_text(BWRAP)
    program.chmod(0o755)
    path = f"{program.parent}:{os.environ['PATH']}"
    return {"PATH": path, "DOCKER_HOST": f"unix://{tmp_path}/none.sock", "NANOCLAW_SANDBOX_RUNTIME": ""}


def test_the_first_run_chooses_the_sandbox_and_says_so(tmp_path: Path, machine: dict[str, str]) -> None:
    made = tmp_path / "home"
    result = run(made, "hello\n", **machine)
    assert tomllib.loads((made / "config.toml").read_text())["sandbox"] == {"runtime": "process"}
    assert any("agents run as processes of yours, with chat tools only" in line for line in result.errors)


def test_a_variable_or_an_earlier_choice_decides_without_a_look(
    tmp_path: Path, machine: dict[str, str]
) -> None:
    made = tmp_path / "home"
    fixed = {**machine, "NANOCLAW_SANDBOX_RUNTIME": "process"}
    for variables in (fixed, machine):
        result = run(made, "hello\n", **variables)
        assert not any("agents run" in line for line in result.errors)
        assert tomllib.loads((made / "config.toml").read_text())["sandbox"] == {"runtime": "process"}
