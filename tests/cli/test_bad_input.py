"""Bad input causes one clear error that says what is wrong and what to do. Nothing is lost."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from nanoclaw import open_host
from nanoclaw.testing import FakeChannel, wire
from tests.cli.commands import Result, call, change, run, run_until
from tests.host.homes import config

CANNOT_RUN = 2


def only_error(result: Result) -> str:
    """That it could not run, and why; nobody was told anything else."""
    assert (result.code, result.output) == (CANNOT_RUN, "")
    assert [log for log in result.logs if log["level"] in {"warning", "error"}] == []
    [error] = result.errors
    return error


# -- the configuration


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('colour = "red"', " line 1: colour is not known; known are data, groups, timezone, [model], "),
        ("[retry]\nmax_tries = 0", " line 2: retry.max_tries must be a whole number of at least 1, got 0"),
        ("runtime = ", ": cannot be read as TOML: "),
        (
            '[model]\nprovider = "gpt"',
            " line 2: model.provider: the process runtime isolates nothing, so it runs no provider but echo",
        ),
        (
            'timezone = "Mars"',
            ' line 1: timezone must be an IANA time zone such as Europe/Berlin, got "Mars"',
        ),
        ("[runtime]\ncommand = 'sh -c \"'", "a string that a shell can split (No closing quotation), got "),
    ],
)
def test_an_invalid_configuration_is_reported_with_file_line_key_and_expected_value(
    tmp_path: Path, text: str, error: str
) -> None:
    (tmp_path / "config.toml").write_text(text)
    found = only_error(call("run", "--home", str(tmp_path), text="hello\n"))
    assert found.startswith(f"{tmp_path}/config.toml")
    assert error in found


def test_a_bad_option_is_named(tmp_path: Path) -> None:
    assert only_error(run(tmp_path, b"", "--log-level", "loud")) == (
        '--log-level must be one of debug, info, warning, error, got "loud"'
    )


# -- the data


def test_a_newer_database_is_refused_and_left_unchanged(tmp_path: Path) -> None:
    database = tmp_path / "data/v2.db"
    database.parent.mkdir()
    change(database, "CREATE TABLE schema_version (version INTEGER PRIMARY KEY, name TEXT, applied TEXT)")
    change(database, "INSERT INTO schema_version VALUES (999, 'from-the-future', '2030')")
    before = database.read_bytes()
    assert only_error(run(tmp_path, "hello\n")) == (
        f"{database}: made by a newer NanoClaw (unknown migrations: from-the-future); install that version, "
        "or use another --data directory"
    )
    assert database.read_bytes() == before


def test_a_foreign_database_is_refused_and_left_unchanged(tmp_path: Path) -> None:
    database = tmp_path / "data/v2.db"
    database.parent.mkdir()
    change(database, "CREATE TABLE songs (title)")
    before = database.read_bytes()
    expected = f"{database}: is another program's database; use another --data directory"
    assert only_error(run(tmp_path, "hello\n")) == expected
    assert database.read_bytes() == before


def test_a_file_that_is_not_a_database_is_refused_and_left_unchanged(tmp_path: Path) -> None:
    database = tmp_path / "data/v2.db"
    database.parent.mkdir()
    database.write_bytes(b"no database " * 1000)
    expected = f"{database}: is not a SQLite database; use another --data directory"
    assert only_error(run(tmp_path, "hello\n")) == expected
    assert database.read_bytes() == b"no database " * 1000


def without_privileges() -> list[str]:
    """A program that runs another one so that permissions bind it, as they do all but root."""
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    command = [setpriv or "", "--bounding-set=-all", "--inh-caps=-all"]
    if setpriv is None or subprocess.run([*command, "true"], check=False).returncode != 0:
        pytest.skip("root is bound by permissions only without its capabilities, and setpriv is missing")
    return command


def test_an_unreadable_database_is_refused(tmp_path: Path) -> None:
    database = tmp_path / "data/v2.db"
    database.parent.mkdir()
    database.touch(mode=0)
    error = only_error(run(tmp_path, "hello\n", before=without_privileges()))
    assert error.startswith(f"{database}: may not be used: it has the permissions ----------; ")
    assert error.endswith(f"`chmod u+rw {database}` restores them")


def test_a_home_without_write_permission_is_refused(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o500)
    error = only_error(run(home, "hello\n", before=without_privileges()))
    assert error.startswith(f"{home}/data: may not be used: its folder {home} has the permissions ")
    assert f"`chmod u+rwx {home}` restores them" in error


def test_a_data_directory_without_write_permission_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o500)
    error = only_error(run(tmp_path, "hello\n", before=without_privileges()))
    assert error.startswith(f"{tmp_path}/data/owner: may not be used: its folder {tmp_path}/data has the ")
    assert f"`chmod u+rwx {tmp_path}/data` restores them" in error


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """The folder on a disk that is mounted read-only."""
    for options in (["--bind", str(folder), str(folder)], ["-o", "remount,ro,bind", str(folder)]):
        done = subprocess.run(["mount", *options], stderr=subprocess.PIPE, check=False)  # noqa: S607 -- of the system
        if done.returncode != 0:
            pytest.skip(f"mounting is not permitted here: {done.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)  # noqa: S607 -- of the system


def test_a_data_directory_on_a_read_only_disk_is_refused_until_it_is_writable(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with read_only(tmp_path / "data"):
        error = only_error(run(tmp_path, "hello\n"))
    assert f"its folder {tmp_path}/data is on a disk that is mounted read-only" in error
    assert "mount it for writing" in error
    assert error.startswith(f"{tmp_path}/data/")
    assert run(tmp_path, "hello\n").output == "echo: hello\n"


# -- messages


def test_a_message_of_10_mb_is_answered(tmp_path: Path) -> None:
    text = '"' * 10_000_000  # JSON doubles it
    result = run(tmp_path, f"{text}\n")
    assert (result.code, result.errors) == (0, [])
    assert result.output == f"echo: {text}\n"


def test_a_message_that_is_too_long_is_refused_and_the_next_one_is_answered(tmp_path: Path) -> None:
    result = run(tmp_path, "x" * 40_000_000 + "\nhello\n")
    assert (result.code, result.output) == (1, "echo: hello\n")
    assert result.errors == ["line 1 was not sent: it is longer than 16 MiB; split it"]


def test_invalid_utf_8_is_refused_and_the_lines_around_it_are_answered(tmp_path: Path) -> None:
    result = run(tmp_path, b"one\ntw\xff\nthree\n")
    assert (result.code, result.output) == (1, "echo: one\necho: three\n")
    assert result.errors == [
        "line 2 was not sent: byte 3 is not UTF-8; convert the input, for example with iconv"
    ]


# -- runners


def runner_failure(result: Result) -> str:
    """Why the runner failed, as the first error of the log has it; with what to do."""
    assert (result.code, result.errors) == (1, ["unanswered: hello (it is kept for the next run)"])
    first, *_ = [log for log in result.logs if log["level"] == "error"]
    assert first["event"] == "session.runner_failed"
    assert first["advice"].startswith("fix what the reason names; messages are kept")
    return str(first["reason"])


def test_a_runner_that_does_not_start_is_explained(tmp_path: Path) -> None:
    command = "/no/such/runner --fast"
    result = run_until("session.runner_failed", tmp_path, "hello\n", NANOCLAW_RUNTIME_COMMAND=command)
    assert runner_failure(result).startswith(f"the runner does not start: {command}: ")


def test_a_runner_that_dies_immediately_is_explained_and_a_good_one_answers_later(tmp_path: Path) -> None:
    command = f"{sys.executable} -c 'raise SystemExit(\"no key\")'"
    result = run_until("session.runner_failed", tmp_path, "hello\n", NANOCLAW_RUNTIME_COMMAND=command)
    assert runner_failure(result) == "the runner ended with status 1\n  no key"
    assert run(tmp_path, "again\n").output == "echo: hello\necho: again\n"


# -- a session's file


def inbound_of(home: Path, session: str = "*") -> Path:
    [file] = home.glob(f"data/sessions/*/{session}/inbound/inbound.db")
    return file


def corrupt(file: Path) -> bytes:
    """Damage a file; return its former contents."""
    sound = file.read_bytes()
    file.write_bytes(b"\xa5" * 2000 + sound[2000:])
    return sound


def test_a_corrupt_inbound_db_is_reported_once_and_recreated_when_moved_away(tmp_path: Path) -> None:
    run(tmp_path, "before\n")
    file = inbound_of(tmp_path)
    corrupt(file)
    result = run_until("routing.parked", tmp_path, "hello\n")
    assert (result.code, result.errors) == (1, ["unanswered: hello (it is kept for the next run)"])
    [error] = [log for log in result.logs if log["level"] == "error"]
    session = file.parents[1]
    advice = f"restore the whole folder {session} from a backup, or move it away and start a new session"
    assert error["reason"].startswith(f"{file}: is not a SQLite database; {advice}")
    session.rename(tmp_path / "corrupt")
    assert run(tmp_path, "again\n").output == "echo: hello\necho: again\n"


async def test_a_corrupt_inbound_db_affects_only_its_own_session(tmp_path: Path) -> None:
    channel, sessions = FakeChannel(), list[str]()
    with trio.fail_after(30):
        async with open_host(config(tmp_path), channels=[channel]) as host:
            for chat in ("sick", "well"):
                await wire(host, channel.address(chat))
                routed = await channel.say("hello", chat=chat, event_id=chat)
                sessions.extend(routed.session_ids)
                await channel.reply_to(chat)
        file = inbound_of(tmp_path, sessions[0])
        sound = corrupt(file)
        async with open_host(config(tmp_path), channels=[channel]):
            await channel.say(
                "again", chat="sick", event_id="parked"
            )  # accepted, although no runner can answer
            await channel.say("again", chat="well", event_id="served")
            assert (await channel.reply_to("served")).address.platform_id == "well"
        file.write_bytes(sound)
        async with open_host(config(tmp_path), channels=[channel]):
            assert (await channel.reply_to("parked")).address.platform_id == "sick"
