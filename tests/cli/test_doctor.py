"""`nanoclaw doctor`: what it finds, and that it changes nothing."""

import json
import subprocess
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trio

from nanoclaw.cli.doctor.data import database, space
from nanoclaw.cli.doctor.findings import Finding
from nanoclaw.cli.doctor.machine import clock, descriptors, inotify
from nanoclaw.config import Config, config_of
from nanoclaw.setup.services import SERVICES
from nanoclaw.testing.models import FakeModel, ModelFailure, open_fake_model
from tests.cli.commands import GUARD_S, NANOCLAW, begun, change, environment, running, wait_ready

KEY = "sk-doctor-0123456789"
NO_KEYS = {variable: "" for service in SERVICES for variable in service.variables}
Found = Mapping[str, Mapping[str, str]]


async def doctor(home: Path, *arguments: str, **variables: str) -> tuple[int, Found]:
    """Return the exit code and the findings by their area, the worst of each."""
    done = await trio.run_process(
        [*NANOCLAW, "doctor", "--json", "--home", str(home), *arguments],
        capture_stdout=True,
        capture_stderr=True,
        env=environment(**{**NO_KEYS, **variables}),
        check=False,
    )
    assert done.stderr == b""
    assert KEY not in done.stdout.decode()
    found = json.loads(done.stdout)
    ranks = ["ok", "warning", "problem"]
    by_level = sorted(found["findings"], key=lambda each: ranks.index(each["level"]))
    assert all(each["advice"] or each["level"] == "ok" or "; " in each["text"] for each in by_level)
    return done.returncode, {each["area"]: each for each in by_level}


@pytest.fixture
async def model() -> AsyncIterator[FakeModel]:
    """Serve a model that always answers."""
    async with open_fake_model("yes", names=["qwen3:4b"]) as served:
        yield served


def configured(home: Path, url: str, name: str = "qwen3:4b", key: str = "") -> Path:
    home.mkdir(mode=0o700, exist_ok=True)
    text = f'[model]\nprovider = "openai"\nname = "{name}"\nbase_url = "{url}/v1"\n{key}'
    (home / "config.toml").write_text(text)
    return home


async def test_a_home_that_is_not_made_yet_is_fine_and_stays_unmade(tmp_path: Path) -> None:
    code, found = await doctor(tmp_path / "home")
    assert (code, {each["level"] for each in found.values()} - {"warning"}) == (0, {"ok"})
    assert found["host"]["text"].startswith("none runs")
    assert not (tmp_path / "home").exists()


async def test_a_model_that_its_server_has_is_fine_and_only_call_spends(
    tmp_path: Path, model: FakeModel
) -> None:
    home = configured(tmp_path, model.url)
    code, found = await doctor(home)
    assert (code, found["model"]["text"]) == (0, f"{model.url}/v1 has qwen3:4b")
    assert model.requests == []
    code, found = await doctor(home, "--call")
    assert (code, found["model"]["text"], len(model.requests)) == (0, "qwen3:4b answers", 1)


async def test_a_wrong_key_an_unknown_name_and_a_missing_server_are_told_apart(
    tmp_path: Path, model: FakeModel
) -> None:
    model.answers = ModelFailure(401, f"bad key {KEY}")
    home = configured(tmp_path, model.url, key='key = { env = "MY_KEY" }\n')
    _, refused = await doctor(home, "--call", MY_KEY=KEY)
    _, unset = await doctor(home)
    _, unknown = await doctor(configured(tmp_path, model.url, "qwen3:4"))
    code, unreachable = await doctor(configured(tmp_path, "http://127.0.0.1:9"))
    assert "refuses the key" in refused["model"]["text"]
    assert "MY_KEY is not set" in unset["model"]["text"]
    assert unknown["model"]["advice"] == "did you mean qwen3:4b?"
    assert (code, "cannot be reached" in unreachable["model"]["text"]) == (1, True)


async def test_a_model_of_an_agent_is_looked_at_where_it_is_another_one(
    tmp_path: Path, model: FakeModel
) -> None:
    home = configured(tmp_path / "home", model.url)
    for folder, own in (("main", {"name": "qwen3:4"}), ("same", {"name": "qwen3:4b"}), ("none", {})):
        agent = home / "groups" / folder
        agent.mkdir(parents=True)
        (agent / "container.json").write_text(json.dumps({"model": own}))
    code, found = await doctor(home)
    assert (code, found["model of main"]["advice"]) == (1, "did you mean qwen3:4b?")
    assert found["model"]["level"] == "ok"
    assert not {"model of same", "model of none"} & set(found)


async def test_a_key_that_others_can_read_is_a_problem(tmp_path: Path, model: FakeModel) -> None:
    (tmp_path / "key").write_text(KEY)
    (tmp_path / "key").chmod(0o644)
    code, found = await doctor(configured(tmp_path, model.url, key='key = { file = "key" }\n'))
    assert (code, "chmod 600" in found["model"]["advice"]) == (1, True)


async def test_a_broken_configuration_hides_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[model")
    code, found = await doctor(tmp_path)
    assert (code, found["configuration"]["level"], found["host"]["level"]) == (1, "problem", "ok")
    assert {"data", "disk", "inotify", "descriptors", "clock", "runtime", "versions"} <= set(found)


async def test_it_works_while_the_host_runs_and_names_it(tmp_path: Path) -> None:
    with running(tmp_path) as host:
        await trio.to_thread.run_sync(wait_ready, host)
        code, found = await doctor(tmp_path)
        assert (code, f"runs with pid {host.pid}" in found["host"]["text"]) == (0, True)
        assert found["database"]["level"] == "ok"


def test_people_get_one_line_a_finding(tmp_path: Path) -> None:
    done = subprocess.run(
        [*NANOCLAW, "doctor", "--home", str(tmp_path)],
        capture_output=True,
        text=True,
        env=environment(**NO_KEYS),
        timeout=GUARD_S,
        check=True,
    )
    assert {line.split()[0] for line in done.stdout.splitlines()} <= {"ok", "warning"}


# -- single looks ----------------------------------------------------------------


def levels(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.area, finding.level) for finding in findings]


def test_a_damaged_row_and_a_deaf_wiring_are_named(tmp_path: Path) -> None:
    file = begun(tmp_path) / "data" / "v2.db"
    assert levels([*database(file)]) == [("database", "ok")]
    change(
        file, "INSERT INTO users (id, kind, display_name, created_at) VALUES ('x:1', 'x', 'X', 'yesterday')"
    )
    [damaged] = database(file)
    assert (damaged.level, "users 'x:1'" in damaged.text) == ("problem", True)


def test_a_file_that_is_no_database_is_a_problem(tmp_path: Path) -> None:
    file = begun(tmp_path) / "data" / "v2.db"
    file.write_bytes(b"no database at all" * 500)
    assert levels([*database(file)]) == [("database", "problem")]


@pytest.mark.parametrize(
    ("instances", "watches", "level"),
    [("128", "65536", "ok"), ("8", "65536", "warning"), ("128", "10", "warning")],
)
def test_low_limits_of_inotify_are_a_warning(
    tmp_path: Path, instances: str, watches: str, level: str
) -> None:
    (tmp_path / "max_user_instances").write_text(instances)
    (tmp_path / "max_user_watches").write_text(watches)
    [found] = inotify(tmp_path / "data", tmp_path)
    assert (found.level, "sysctl" in found.advice) == (level, level == "warning")


def test_few_descriptors_are_a_warning() -> None:
    assert (descriptors(256).level, descriptors(4096).level) == ("warning", "ok")


def config(home: Path) -> Config:
    return config_of(home, {"timezone": "Europe/Berlin"})


def test_a_date_before_the_last_activity_is_a_problem(tmp_path: Path) -> None:
    begun(tmp_path)
    [early] = clock(config(tmp_path), datetime(2001, 1, 1, tzinfo=UTC))
    [fine] = clock(config(tmp_path), datetime(2100, 1, 1, tzinfo=UTC))
    assert (early.level, fine.level) == ("problem", "ok")


def test_the_disk_is_looked_at_where_the_folder_will_be(tmp_path: Path) -> None:
    [found] = space(tmp_path / "not" / "made")
    assert (found.area, str(tmp_path) in found.text) == ("disk", True)
