"""A home whose central database is lost or half restored, as its owner sees it."""

import shutil
import signal
from pathlib import Path

import pytest
import trio

from nanoclaw.cli import main
from nanoclaw.host import HostFailed, Seams, open_host
from tests.cli.commands import change, rows, run, running, wait_ready
from tests.host.homes import config
from tests.host.runtimes import FakeRuntime

QUIET = Seams(runtime=FakeRuntime())


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home with one conversation, to be copied."""
    home = tmp_path_factory.mktemp("answered") / "home"
    assert run(home, "hello\n").output == "echo: hello\n"
    return home


@pytest.fixture
def home(answered: Path, tmp_path: Path) -> Path:
    """Return a home with one conversation."""
    return shutil.copytree(answered, tmp_path / "home")


def test_a_home_without_its_database_is_refused_until_it_is_begun_anew(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "data/v2.db").unlink()
    refused = run(home, "hello\n")
    assert (refused.code, refused.output) == (2, "")
    [error] = refused.errors
    assert error.startswith(f"{home}/data/v2.db: is missing, but {home}/data/sessions holds 1 session.")
    for command in (("agents", "list"), ("agents", "create", "helper")):
        assert main([*command, "--home", str(home)]) == 2
        assert capsys.readouterr() == ("", f"nanoclaw: {error}\n")
    assert not (home / "data/v2.db").exists()
    assert run(home, "hello\n", "--begin-anew").output == "echo: hello\n"
    [kept] = (home / "data").glob("before-*")
    assert len([*kept.glob("sessions/*/*/inbound/inbound.db")]) == 1


def test_a_database_behind_a_link_whose_disk_is_not_mounted_is_named(home: Path) -> None:
    (home / "data/v2.db").unlink()
    (home / "data/v2.db").symlink_to("/media/stick/v2.db")
    [error] = run(home, "hello\n").errors
    assert "v2.db: is a symbolic link to /media/stick/v2.db, which is missing (is its disk mounted?)" in error


def test_a_database_that_is_overwritten_is_to_be_restored(home: Path) -> None:
    (home / "data/v2.db").write_bytes(b"spoilt" * 1000)
    [error] = run(home, "hello\n").errors
    assert "v2.db: is not a SQLite database; there are sessions beside it: restore " in error


def test_begin_anew_refuses_a_home_in_order(home: Path) -> None:
    refused = run(home, "hello\n", "--begin-anew")
    assert refused.code == 2
    assert "is in order, so nothing is begun anew: start without --begin-anew" in refused.errors[0]
    assert run(home, "again\n").output == "echo: again\n"


def test_a_program_that_embeds_the_host_begins_anew_by_name(home: Path) -> None:
    async def scenario() -> None:
        (home / "data/v2.db").write_bytes(b"")
        with pytest.raises(HostFailed, match="has 0 bytes"):
            async with open_host(config(home), seams=QUIET):
                pass
        async with open_host(config(home), seams=QUIET, begin_anew=True) as host:
            assert not await host.admin.sessions.list()

    trio.run(scenario)


@pytest.mark.slow
def test_a_restored_database_beside_the_wal_of_a_killed_host_is_refused(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(home / "data/v2.db", tmp_path / "backup")
    run(home, "again\n")
    with running(home, "--headless") as process:
        wait_ready(process)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert (home / "data/v2.db-wal").stat().st_size > 0
    shutil.copy(tmp_path / "backup", home / "data/v2.db")
    refused = run(home, "hello\n")
    assert refused.code == 2
    assert "v2.db-wal beside it belongs to another v2.db" in refused.errors[0]
    assert main(["agents", "list", "--home", str(home)]) == 2
    assert "v2.db-wal beside it" in capsys.readouterr().err
    for name in ("v2.db-wal", "v2.db-shm"):
        (home / "data" / name).rename(tmp_path / name)
    assert run(home, "hello\n").output == "echo: hello\n"
    assert rows(home / "data/v2.db", "PRAGMA integrity_check") == [("ok",)]


def test_a_session_with_an_unknown_status_is_named_and_repaired(home: Path) -> None:
    [(session,)] = rows(home / "data/v2.db", "SELECT id FROM sessions")
    change(home / "data/v2.db", "UPDATE sessions SET status = 'closed'")
    kept = run(home, "kept\n", "--drain", "0.1")
    assert kept.code == 1
    assert session in kept.logged("session.unusable")[0]["session"]
    assert main(["sessions", "resume", session, "--home", str(home)]) == 0
    assert run(home, "again\n").output == "echo: kept\necho: again\n"
