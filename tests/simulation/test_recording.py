"""Making a recording: requirements, costs and excluded contents; and reading a hostile one."""

import json
import os
import shutil
import struct
import sys
from base64 import b64decode
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import trio

from nanoclaw.cli import INTERRUPTED, main
from nanoclaw.config.keys import KEYS
from nanoclaw.host import HostFailed, open_host
from nanoclaw.recording import BadRecording, Record, read, recorder, state, writer
from nanoclaw.recording.channels import event_of
from nanoclaw.recording.lines import FILE, dump, load
from nanoclaw.recording.notes import Offered, Told
from nanoclaw.recording.recorder import KEPT, LEFT_OUT
from nanoclaw.records import InboundEvent
from nanoclaw.store.engine.connections import open_writable
from nanoclaw.testing import FakeChannel, World, simulate, wire
from nanoclaw.testing.replay import replay
from nanoclaw.testing.world import world
from nanoclaw.testing.world.hot_journal import leave_hot_journal
from tests.cli.commands import run
from tests.simulation.recordings import changed, settings


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Record one message with a file, in a simulation."""
    folder = tmp_path_factory.mktemp("talk") / "recording"

    async def scenario(world: World) -> None:
        ann = world.user("ann")
        await world.start(record=Record(folder))
        chat = await world.direct(ann)
        await ann.says("hello", files={"a.txt": b"what is in the file"})
        await chat.expect("echo: hello")
        await world.stop()

    simulate(scenario, seed=0)
    return folder


# -- making one ----------------------------------------------------------------


def test_a_renamed_registry_message_keeps_its_name_in_the_file() -> None:
    told = Told("ForgetUnregisteredSender", {"user_id": "tg:9"})
    line = dump(0.5, told)
    assert json.loads(line)["message"] == "ForgetStranger"
    assert load(line).note == told


def test_each_configuration_key_is_either_recorded_or_left_out() -> None:
    assert {*KEPT, *LEFT_OUT} == {key.name for key in KEYS}
    assert not {*KEPT} & {*LEFT_OUT}


def test_the_contents_of_files_are_not_recorded(talk: Path) -> None:
    assert "a.txt" in (talk / FILE).read_text("ascii")
    kept = b"".join(file.read_bytes() for file in talk.rglob("*") if file.is_file())
    assert b"what is in the file" not in kept
    assert b"d2hhdCBpcyBpbiB0aGUgZmlsZQ" not in kept


def test_a_replayed_file_has_its_size_without_its_contents(talk: Path) -> None:
    offered = [taken.note for taken in read(talk).notes if isinstance(taken.note, Offered)]
    event, again = offered[0].event, event_of(offered[0])
    assert isinstance(event, InboundEvent)
    assert isinstance(again, InboundEvent)
    assert [attachment.data for attachment in event.message.attachments] == [""]
    made = [b64decode(attachment.data or "") for attachment in again.message.attachments]
    assert [len(content) for content in made] == [21]


def test_only_its_user_can_read_a_recording(talk: Path) -> None:
    for place in (talk, *talk.rglob("*")):
        assert place.stat().st_mode & 0o077 == 0


async def test_a_folder_with_files_is_refused_as_a_recording(tmp_path: Path) -> None:
    (tmp_path / "taxes.txt").write_text("2025")
    with pytest.raises(HostFailed, match="name a new or an empty folder"):
        async with open_host(settings(tmp_path / "home"), record=Record(tmp_path)):
            pass
    assert names(tmp_path) == ["taxes.txt"]


def names(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir()]


async def test_a_host_does_not_start_if_its_recording_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "fsync", _full)
    with pytest.raises(HostFailed, match="nothing can be recorded there"):
        async with open_host(settings(tmp_path / "home"), record=Record(tmp_path / "recording")):
            pass


async def test_recording_too_large_a_home_is_refused_with_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_host(settings(tmp_path / "home")):
        pass
    monkeypatch.setattr(recorder, "MAX_STATE", 1000)
    with pytest.raises(HostFailed, match=r"its databases have \d+ MB"):
        async with open_host(settings(tmp_path / "home"), record=Record(tmp_path / "recording")):
            pass


async def test_a_full_disk_ends_the_recording_and_not_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    network = FakeChannel()
    with trio.fail_after(30):
        async with open_host(
            settings(tmp_path / "home"), channels=[network], record=Record(tmp_path / "recording")
        ) as host:
            monkeypatch.setattr(writer, "fsync", _full)
            await wire(host, network.address("chat"))
            await network.say("hello", event_id="1")
            await network.reply_to("1")
    assert "recording.stopped" in capfd.readouterr().err


async def test_a_host_does_not_start_if_the_copy_of_its_data_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "_write", lambda _file, _content: _full(0))
    with pytest.raises(HostFailed, match="recording: cannot be written: No space left"):
        async with open_host(settings(tmp_path / "home"), record=Record(tmp_path / "recording")):
            pass


@pytest.mark.parametrize("place", ["data/sessions/ag/sess", "groups/main/workspace/recording"])
async def test_a_recording_is_refused_in_a_folder_that_agents_can_read(place: str, tmp_path: Path) -> None:
    with pytest.raises(HostFailed, match="it is inside the data"):
        async with open_host(settings(tmp_path), record=Record(tmp_path / place)):
            pass
    assert not (tmp_path / place).exists()


def _full(_descriptor: int) -> None:
    raise OSError(28, os.strerror(28))


# -- reading one ---------------------------------------------------------------


Change = Callable[[list[str]], list[str]]


def with_line(number: int, text: str) -> Change:
    return lambda lines: [*lines[: number - 1], f"{text}\n", *lines[number:]]


def edited(kind: str, **values: object) -> Change:
    """Change values in the first note of a kind."""

    def change(lines: list[str]) -> list[str]:
        n = next(n for n, line in enumerate(lines) if json.loads(line)["note"] == kind)
        return [*lines[:n], json.dumps({**json.loads(lines[n]), **values}) + "\n", *lines[n + 1 :]]

    return change


HOSTILE: dict[str, tuple[Change, str]] = {
    "empty": (lambda _: [], "it is empty"),
    "its first line cut off": (lambda lines: [lines[0][:50]], "cut off in its first line"),
    "without a beginning": (lambda lines: lines[1:], "begins with a note `Began`"),
    "garbage in a line": (with_line(4, "garbage"), "line 4: it is damaged"),
    "a line that is no object": (with_line(4, "[1]"), "line 4: it is damaged: it is not a note"),
    "nesting without an end": (with_line(4, "[" * 100_000), "line 4: it is damaged"),
    "an unknown note": (with_line(4, '{"at": 1, "note": "Coffee"}'), "the kind of note 'Coffee' is unknown"),
    "a note without its fields": (with_line(4, '{"at": 1, "note": "Offered"}'), "line 4: it is damaged"),
    "a wrong type": (edited("RunnerAsked", n="many"), "it is damaged"),
    "no moment": (edited("Told", at="noon"), "it is damaged"),
    "a moment that never comes": (edited("Told", at=float("nan")), "it is damaged"),
    "a newer format": (edited("Began", format=2), "format 2, written by NanoClaw"),
    "a channel that is not named": (edited("Offered", channel="other"), "a channel 'other'"),
    "a runner that was never requested": (edited("RunnerStarted", n=99), "a runner 99"),
    "no copy of the data": (lambda lines: lines[:1], "before its data were copied"),
    "an unknown message": (edited("Told", message="Detonate"), "no message 'Detonate'"),
    "a message that is none": (edited("Told", message="Registry"), "no message 'Registry'"),
    "a message of other fields": (edited("Told", fields={}), "to the registry is damaged"),
    "a zone that is none": (edited("Began", config={"timezone": "Moon/Base"}), "cannot be used"),
    "a setting of another type": (edited("Began", config={"retry.max_tries": "many"}), "cannot be used"),
}


@pytest.mark.parametrize("how", HOSTILE)
def test_an_unreadable_recording_is_reported_with_the_place_of_the_error(
    how: str, talk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change, sentence = HOSTILE[how]
    hostile = changed(talk, tmp_path / "hostile", change)
    with pytest.raises(BadRecording, match=sentence.replace("(", r"\(")):
        replay(hostile)
    assert main(["replay", str(hostile)]) == 2
    assert sentence in capsys.readouterr().err


def fifo(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def link_elsewhere(file: Path) -> None:
    shutil.move(file, file.parent.parent / "elsewhere")
    file.symlink_to(file.parent.parent / "elsewhere")


def endless_link(file: Path) -> None:
    file.unlink()
    file.symlink_to("/dev/zero")


def folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def enormous(file: Path) -> None:
    with file.open("ab") as opened:
        opened.truncate(1 << 40)


NO_FILES: dict[str, tuple[Callable[[Path], None], str]] = {
    "a fifo": (fifo, "it is not a regular file"),
    "a link": (link_elsewhere, "it is a link; put the file itself there"),
    "a link to what never ends": (endless_link, "it is a link; put the file itself there"),
    "a folder": (folder, "cannot be read: Is a directory"),
    "a file without end": (enormous, "it has 1,099,511,627,776 bytes; the limit is 1,073,741,824"),
}


@pytest.mark.parametrize("what", NO_FILES)
def test_a_recording_whose_notes_are_not_a_regular_file_is_refused(
    what: str, talk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change, sentence = NO_FILES[what]
    hostile = changed(talk, tmp_path / "hostile", lambda lines: lines)
    change(hostile / "recording.jsonl")
    assert main(["replay", str(hostile)]) == 2
    assert sentence in capsys.readouterr().err


def test_a_folder_that_is_not_a_recording_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRecording, match="cannot be read: No such file"):
        read(tmp_path)


def test_a_recording_cannot_create_files_outside_its_folder(talk: Path, tmp_path: Path) -> None:
    def climbing(lines: list[str]) -> list[str]:
        marks = [{"name": "../../../../../../../../../../tmp/climbed", "size": 1}]
        return edited("Asked", files=marks)(lines)

    climbed = Path("/tmp/climbed")  # noqa: S108 -- where the recording wants it
    replay(changed(talk, tmp_path / "hostile", climbing))
    assert not climbed.exists()


def test_a_recording_with_data_outside_its_folder_is_refused(talk: Path, tmp_path: Path) -> None:
    hostile = changed(talk, tmp_path / "hostile", lambda lines: lines)
    shutil.move(hostile / "data", tmp_path / "elsewhere")
    (hostile / "data").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadRecording, match="it is a link; copy the whole folder"):
        replay(hostile)


def test_a_recording_cannot_cause_other_files_to_be_read(talk: Path, tmp_path: Path) -> None:
    hostile = changed(talk, tmp_path / "hostile", lambda lines: lines)
    (tmp_path / "secret").write_text("secret")
    (hostile / "data/v2.db").unlink()
    (hostile / "data/v2.db").symlink_to(tmp_path / "secret")
    with pytest.raises(BadRecording, match="it is missing, or no plain file"):
        replay(hostile)


def test_a_recording_cannot_cause_a_file_to_be_deleted(talk: Path, tmp_path: Path) -> None:
    """Rolling a journal back, SQLite may delete the file that it names as its super-journal (contract 6)."""
    hostile, victim = changed(talk, tmp_path / "hostile", lambda lines: lines), tmp_path / "victim"
    victim.write_text("here")
    database = hostile / "data/v2.db"
    with closing(open_writable(database)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE").fetchall()
    leave_hot_journal(database, tmp_path / "aside.db")
    name = os.fsencode(victim)
    with Path(f"{database}-journal").open("ab") as journal:
        page = (1 << 30) // 4096 + 1
        journal.write(struct.pack(">I", page) + name + struct.pack(">II", len(name), sum(name)))
        journal.write(bytes.fromhex("d9d505f920a163d7"))
    with pytest.raises(BadRecording, match=r"v2\.db-journal: it is a journal that names another file"):
        replay(hostile)
    assert victim.exists()


DAMAGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "no database": (lambda _: b"garbage\n", "is not a SQLite database"),
    "half of it": (lambda whole: whole[: len(whole) // 2], "is damaged"),
    "its first page": (lambda whole: whole[:100] + b"\xa5" * 3996 + whole[4096:], "is damaged"),
}


@pytest.mark.parametrize("how", DAMAGES)
def test_a_recording_with_a_damaged_database_is_reported_as_unreadable(
    how: str, talk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage, sentence = DAMAGES[how]
    hostile = changed(talk, tmp_path / "hostile", lambda lines: lines)
    database = hostile / "data/v2.db"
    database.write_bytes(damage(database.read_bytes()))
    assert main(["replay", str(hostile)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"nanoclaw: {database}: {sentence}; no host starts on it")
    assert len(shown.err.splitlines()) == 1


def test_a_host_failure_only_in_the_replay_is_a_difference(
    talk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise HostFailed("no memory")

    monkeypatch.setattr(world, "open_host", failing)
    assert "the host failed: no memory" in replay(talk).differences


# -- the command ---------------------------------------------------------------


def test_the_command_prints_the_events_and_that_the_replay_is_the_same(
    talk: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", str(talk)]) == 0
    shown = capfd.readouterr().out
    assert "  offered  " in shown
    assert shown.endswith("\nThe replay does what the recording did.\n")


def test_the_command_prints_the_differences(
    talk: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    other = changed(talk, tmp_path / "other", edited("Asked", key="out-of-nowhere"))
    timeline = tmp_path / "timeline.txt"
    assert main(["replay", str(other), "--timeline", str(timeline)]) == 1
    shown = capfd.readouterr().out
    assert "differs from the recording" in shown
    assert "out-of-nowhere" in shown
    assert "  offered  " not in shown
    assert "  offered  " in timeline.read_text("utf-8")


def test_the_command_prints_json_and_can_stop_early(talk: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(talk), "--json", "--until", "0"]) == 0
    shown = json.loads(capfd.readouterr().out)
    assert (shown["same"], shown["torn"], shown["differences"]) == (True, True, [])
    assert shown["timeline"]


@pytest.mark.slow
def test_a_recorded_run_announces_its_contents_and_can_be_replayed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "recording"
    result = run(tmp_path / "home", "hello\n", "--record", str(folder))
    assert result.code == 0
    assert f"recording into {folder}; it contains all messages" in result.errors
    assert main(["replay", str(folder)]) == 0
    assert "echo" not in capfd.readouterr().err


@pytest.mark.parametrize("option", ["--record", "--record-redacted"])
def test_a_run_is_not_recorded_into_a_folder_without_a_name(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["run", option, ""])
    assert f"argument {option}: must be a new or empty folder" in capsys.readouterr().err


@pytest.mark.slow
def test_a_refused_folder_is_not_announced_as_the_recording(tmp_path: Path) -> None:
    (tmp_path / "recording").mkdir()
    (tmp_path / "recording" / "mine").touch()
    result = run(tmp_path / "home", "hello\n", "--record", str(tmp_path / "recording"))
    assert result.code == 2
    assert "recording into" not in result.errors


def test_ctrl_c_ends_a_replay_without_a_traceback(talk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def interrupted(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("nanoclaw.testing.replay.player.offer_all", interrupted)
    assert main(["replay", str(talk)]) == INTERRUPTED


def test_a_closed_output_does_not_fail_a_replay(talk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", encoding="utf-8") as nobody:
        monkeypatch.setattr(sys, "stdout", nobody)
        assert main(["replay", str(talk)]) == 0
