"""The pages about operating a host: commands print their samples, and do what the pages say."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nanoclaw.cli.status import status_lines, tree_lines
from tests.cli.commands import GUARD_S, NANOCLAW, environment, rows, running, wait_ready
from tests.control.sample import STATUS, TREE, over_the_wire

DOCS = Path(__file__).parents[2] / "docs"
TEXT = "\n".join(
    (DOCS / page).read_text("utf-8")
    for page in (
        "how-to/talk-from-a-shell.md",
        "how-to/look-into-a-running-host.md",
        "how-to/administer-from-a-shell.md",
        "how-to/change-the-configuration.md",
        "how-to/back-up-and-restore.md",
        "control-protocol.md",
        "log-events.md",
    )
)


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def test_the_samples_match_the_output_of_the_commands() -> None:
    assert blocks("status") == ["\n".join(status_lines(over_the_wire(STATUS))) + "\n"]
    assert blocks("tree") == ["\n".join(tree_lines(over_the_wire(TREE))) + "\n"]


def test_every_warning_is_explained() -> None:
    logged = {
        event
        for file in (Path(__file__).parents[2] / "nanoclaw").rglob("*.py")
        for event in re.findall(r'_log\.(?:warning|error)\(\s*"([\w.]+)"', file.read_text("utf-8"))
    }
    mere_remarks = {
        "actor.refused",
        "presence.not_written",
        "prompt.history_not_kept",
        "prompt.history_not_read",
    }
    assert len(logged) > 10
    assert {event for event in logged - mere_remarks if f"`{event}`" not in TEXT} == set()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("operations") / "home"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a PATH whose `nanoclaw` is the one under test."""
    folder = tmp_path_factory.mktemp("bin")
    (folder / "nanoclaw").write_text(f'#!/bin/sh\nexec {" ".join(NANOCLAW)} "$@"\n')
    (folder / "nanoclaw").chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


@pytest.fixture(scope="module")
def host(home: Path) -> Iterator[None]:
    with running(home, "--headless") as process:
        wait_ready(process)
        yield
        process.send_signal(signal.SIGTERM)
        assert process.wait(GUARD_S) == 0


def shell(script: str, home: Path, path: str) -> str:
    done = subprocess.run(
        ["/usr/bin/env", "bash", "-euo", "pipefail", "-c", script],
        env=environment(NANOCLAW_HOME=str(home), PATH=path),
        capture_output=True,
        text=True,
        timeout=GUARD_S,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.slow
@pytest.mark.usefixtures("host")
def test_the_documented_commands_work_while_the_host_runs(home: Path, path: str) -> None:
    printed = [shell(block, home, path) for block in blocks("sh")]
    assert len(printed) == 5
    chat, status, tree, logs, as_json = printed
    assert status.startswith("nanoclaw ")
    assert f"data      {home}/data\n" in status
    assert tree.startswith("host  running\n  registry  running\n")
    assert '"living_sessions": [' in as_json
    assert chat.splitlines() == [
        "echo: What is on my list today?",
        "echo: first message",
        "echo: second message",
    ]
    assert "host.ready" in logs
    assert '"event": "session.runner_started"' in logs


@pytest.mark.slow
@pytest.mark.usefixtures("host")
def test_a_host_is_administered_while_it_runs(home: Path, path: str) -> None:
    printed = [shell(block, home, path) for block in blocks("sh admin")]
    assert len(printed) == 4
    agent, rights, messages, work = printed
    assert agent.startswith("folder  name    id\nhelper  Helper  ag-")
    assert "cli:notes  helper  per-thread" in agent
    assert "helper  boss  main" in rights
    assert messages
    assert work.startswith("none\n[")


@pytest.mark.slow
@pytest.mark.usefixtures("host")
def test_the_configuration_is_checked_and_shown(home: Path, path: str) -> None:
    check, show = [shell(block, home, path) for block in blocks("sh config")]
    assert check.startswith("the configuration is good\n")
    assert re.search(r"^runtime\.idle_s +900 +default$", show, re.MULTILINE)


@pytest.mark.slow
@pytest.mark.usefixtures("host")
def test_the_log_is_followed_until_ctrl_c(home: Path, path: str) -> None:
    [block] = blocks("sh follow")
    with subprocess.Popen(
        ["/usr/bin/env", "bash", "-c", f"exec {block}"],
        stdout=subprocess.PIPE,
        env=environment(NANOCLAW_HOME=str(home), PATH=path),
    ) as following:
        assert following.stdout is not None
        next(line for line in following.stdout if b"host.ready" in line)
        following.send_signal(signal.SIGINT)
        assert following.wait(GUARD_S) == 130


@pytest.mark.slow
@pytest.mark.usefixtures("host")
def test_the_documented_program_speaks_the_protocol(home: Path) -> None:
    [program] = blocks("python")
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(NANOCLAW_HOME=str(home)),
        capture_output=True,
        text=True,
        timeout=GUARD_S,
        check=True,
    )
    assert re.fullmatch(r"version .+\nliving \d\n", done.stdout)


@pytest.mark.slow
def test_a_restored_backup_contains_every_message(tmp_path: Path, path: str) -> None:
    home = tmp_path / "home"
    backup, restore = blocks("sh stopped")
    say = f"echo hello | nanoclaw run --home {home} 2>/dev/null"
    shell(say, home, path)
    shell(backup, home, path)
    assert shell(say, home, path) == "echo: hello\n"
    [first] = tmp_path.glob("home.backup-*")
    first.rename(tmp_path / "home.backup-20000101-000000")
    shell(backup, home, path)
    assert len(list(tmp_path.glob("home.backup-*"))) == 2
    before = sorted(file.relative_to(home) for file in home.rglob("*"))
    for file in (home / "data").rglob("*.db"):
        file.write_bytes(b"spoilt")
    shell(restore, home, path)
    assert sorted(file.relative_to(home) for file in home.rglob("*")) == before
    assert len(list(tmp_path.glob("home.replaced-*"))) == 1
    [inbound] = (home / "data").rglob("inbound.db")
    assert rows(inbound, "SELECT count(*) FROM messages_in") == [(2,)], "the newest backup, not the first"
    assert shell(say, home, path) == "echo: hello\n"


@pytest.mark.slow
def test_a_home_behind_a_link_and_with_a_slash_is_backed_up_and_restored(tmp_path: Path, path: str) -> None:
    disk, home = tmp_path / "disk", tmp_path / "home"
    disk.mkdir()
    home.symlink_to(disk)
    backup, restore = blocks("sh stopped")
    (disk / "kept").write_text("old")
    shell(f"NANOCLAW_HOME={home}/\n{backup}", home, path)
    (disk / "kept").write_text("new")
    shell(f"NANOCLAW_HOME={home}/\n{restore}", home, path)
    assert (home / "kept").read_text() == "old"
    assert (disk / "kept").read_text() == "new"


@pytest.mark.slow
def test_the_recipes_may_be_run_twice_within_a_second(tmp_path: Path, path: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    backup, restore = blocks("sh stopped")
    for content in ("first", "second"):
        (home / "kept").write_text(content)
        shell(backup, home, path)
    for _ in range(2):
        (home / "kept").write_text("new")
        shell(restore, home, path)
        assert [(each.name, each.read_text()) for each in home.iterdir()] == [("kept", "second")]
    assert len([*tmp_path.glob("home.backup-*/kept")]) == len([*tmp_path.glob("home.replaced-*/kept")]) == 2


@pytest.mark.slow
def test_the_central_database_is_restored_from_before_an_upgrade(tmp_path: Path, path: str) -> None:
    home = tmp_path / "home"
    say = f"echo hello | nanoclaw run --home {home} 2>/dev/null"
    shell(say, home, path)
    (home / "data/backups").mkdir()
    for name in ("v2-20200101T000000.000Z.db", "v2-20210101T000000.000Z.db"):
        shutil.copy(home / "data/v2.db", home / "data/backups" / name)
    (home / "data/v2.db").write_bytes(b"spoilt")
    (home / "data/v2.db-wal").write_bytes(b"stale")
    [recipe] = blocks("sh copy")
    shell(recipe, home, path)
    [old] = (home / "data").glob("v2.replaced-*")
    assert sorted(each.name for each in old.iterdir()) == ["v2.db", "v2.db-wal"]
    assert shell(say, home, path) == "echo: hello\n"
