"""The tools remember, recall and forget, and the file behind them."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import apsw
import pytest
import trio

from agent_runner.errors import NotesUnavailable
from agent_runner.knowledge.notes import MOST_NOTES, Notes, Remembered, _DamagedError
from agent_runner.log import Log
from tests.runner.test_runner_tools import call
from tests.runner.world import SCHEMA, InlineExecutor, Killed, VirtualClock, World


@pytest.fixture
def notes(tmp_path: Path) -> Notes:
    return Notes(tmp_path, SCHEMA, InlineExecutor(), VirtualClock(), Log())


def also(notes: Notes) -> Notes:
    """Return the notes as another session of the agent sees them."""
    return Notes(notes.folder, SCHEMA, InlineExecutor(), VirtualClock(), Log())


async def texts(notes: Notes, query: str) -> list[str]:
    return [note.text for note in await notes.recall(query)]


# -- the tools -------------------------------------------------------------------


async def test_a_note_is_found_by_any_of_its_words(world: World) -> None:
    assert (
        await call(world, 2, "remember", text="Anna is allergic to nuts", tags=["food"]) == "kept as note 1"
    )
    answer = "note 1 (2025-03-01, tags: food):\nAnna is allergic to nuts"
    assert await call(world, 4, "recall", query="which food does she not eat?") == answer
    assert await call(world, 6, "recall", query="an allergy of ANNA") == answer


async def test_the_same_note_is_kept_once_with_all_its_tags(world: World) -> None:
    await call(world, 2, "remember", text="the bin goes out on Monday", tags=["home"])
    again = await call(world, 4, "remember", text=" the bin goes out on Monday\n", tags=["bins"])
    assert again == "known already: it is note 1"
    assert "tags: home bins" in await call(world, 6, "recall", query="bins")


async def test_a_forgotten_note_is_found_no_more_and_its_number_is_not_used_again(world: World) -> None:
    await call(world, 2, "remember", text="one")
    assert await call(world, 4, "forget", id=1) == "note 1 is forgotten"
    assert await call(world, 6, "recall", query="one") == "no note fits; try other words"
    assert await call(world, 8, "forget", id=1) == "there is no note 1; recall shows the numbers of notes"
    assert await call(world, 10, "remember", text="two") == "kept as note 2"


async def test_recall_without_any_note_says_so_and_makes_no_file(world: World) -> None:
    assert await call(world, 2, "recall", query="x") == "no note fits; try other words"
    assert await call(world, 4, "forget", id=1) == "there is no note 1; recall shows the numbers of notes"
    assert not (world.config.workspace / "notes.db").exists()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"text": " \n"}, "the argument 'text' is empty"),
        ({"text": "x" * 4001}, "the argument 'text' is longer than 4000 characters"),
        ({"text": "x", "tags": ["a"] * 11}, "the argument 'tags' must have at most 10 items"),
    ],
)
async def test_a_note_has_bounds(world: World, arguments: dict[str, object], problem: str) -> None:
    assert await call(world, 2, "remember", **arguments) == problem


async def test_there_is_room_for_so_many_notes(world: World) -> None:
    await call(world, 2, "remember", text="first")
    with closing(apsw.Connection(str(world.config.workspace / "notes.db"))) as connection, connection:
        rows = ((f"note {number}",) for number in range(MOST_NOTES - 1))
        connection.executemany("INSERT INTO notes (text) VALUES (?)", rows)
    assert await call(world, 4, "remember", text="x") == "there are 10,000 notes already; forget some first"
    assert await call(world, 6, "remember", text="first") == "known already: it is note 1"


# -- searching ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "query", ['"', "a OR", "NEAR(a b)", "text:x", "*", "-", "(", "a\0b", "'; DROP TABLE notes", "\ud800", "^"]
)
async def test_a_query_is_never_syntax(notes: Notes, query: str) -> None:
    await notes.remember("only this")
    assert await notes.recall(query) == []
    assert notes.set_aside is None


@pytest.mark.parametrize(
    ("note", "query"),
    [
        ("Müller wohnt in Köln", "koln"),
        ("母の誕生日は五月です", "誕生日"),
        ("he runs marathons", "running"),
        ("see user_name=ann", "user_name"),
    ],
)
async def test_notes_are_found_in_many_scripts(notes: Notes, note: str, query: str) -> None:
    await notes.remember("something else")
    await notes.remember(note)
    assert await texts(notes, query) == [note]


async def test_the_note_with_most_of_the_words_comes_first(notes: Notes) -> None:
    for text in ("blue", "blue car of Tom", "car", "house"):
        await notes.remember(text)
    assert (await texts(notes, "Tom blue car"))[0] == "blue car of Tom"
    assert "house" not in await texts(notes, "Tom blue car")


async def test_people_may_change_notes_with_sqlite(notes: Notes) -> None:
    await notes.remember("the code is 1234")
    with closing(sqlite3.connect(notes.path)) as connection, connection:
        connection.execute("UPDATE notes SET text = 'the key hangs outside'")
        connection.execute("INSERT INTO notes (text) VALUES ('the cat is Felix')")
    assert await texts(notes, "code") == []
    assert await texts(notes, "key cat") == ["the cat is Felix", "the key hangs outside"]


# -- several runners -----------------------------------------------------------------

WRITER = """
import sys, trio
from pathlib import Path
from agent_runner.log import Log
from agent_runner.knowledge.notes import Notes
from agent_runner.system import SystemClock, ThreadExecutor

async def main(name, folder, schema):
    notes = Notes(Path(folder), Path(schema), ThreadExecutor(), SystemClock(), Log())
    for number in range(40):
        await notes.remember("everybody knows this")
        await notes.remember(f"{name} {number}")
        await notes.recall("everybody")

trio.run(main, *sys.argv[1:])
"""


def test_runners_of_several_sessions_write_at_once_and_lose_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER]
    writers = [subprocess.Popen([*command, f"w{n}", str(tmp_path), str(SCHEMA)]) for n in range(4)]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    with closing(apsw.Connection(str(tmp_path / "notes.db"))) as connection:
        assert connection.execute("SELECT count(*), max(recalls) FROM notes").fetchall() == [(161, 160)]
        assert connection.execute("PRAGMA integrity_check").get == "ok"
        connection.execute("INSERT INTO notes_index (notes_index) VALUES ('integrity-check')")


async def test_a_lock_that_stays_is_reported_after_five_seconds(
    notes: Notes,
    autojump_clock: trio.testing.MockClock,  # noqa: ARG001 -- the test runs in virtual time
) -> None:
    await notes.remember("x")
    with closing(apsw.Connection(str(notes.path))) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        with pytest.raises(NotesUnavailable, match="the notes are in use; try again in a moment"):
            await notes.remember("y")
    assert 4 < trio.current_time() < 6
    assert await notes.remember("y") == Remembered(2, is_new=True)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_runner_that_dies_in_a_commit_leaves_a_note_or_none(notes: Notes, when: str) -> None:
    executor = InlineExecutor()
    dying = Notes(notes.folder, SCHEMA, executor, VirtualClock(), Log())

    def die(_number: int, moment: str) -> None:
        if moment == when:
            raise Killed

    executor.on_commit = die
    with pytest.raises(Killed):
        await dying.remember("last words")
    assert len(await notes.recall("words")) == (when == "after")
    assert await notes.remember("last words") == Remembered(1, is_new=when == "before")


# -- damage ----------------------------------------------------------------------------


def overwrite(path: Path) -> None:
    path.write_bytes(b"no database at all" * 100)


def tear(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(20_000))


def other_tables(path: Path) -> None:
    path.unlink()
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("CREATE TABLE notes (x); PRAGMA user_version = 1")


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


def fifo_as_journal(path: Path) -> None:
    os.mkfifo(path.with_name(f"{path.name}-journal"))


@pytest.mark.parametrize("damage", [overwrite, tear, other_tables, fifo, folder, link, fifo_as_journal])
async def test_a_damaged_file_is_set_aside_and_notes_begin_anew(
    notes: Notes, damage: Callable[[Path], None]
) -> None:
    for number in range(50):
        await notes.remember(f"note {number} {'x' * 200}")
    damage(notes.path)
    with trio.fail_after(5):
        assert (await notes.notebook()).total == 0
    assert notes.set_aside
    assert (notes.folder / notes.set_aside).is_symlink() or (notes.folder / notes.set_aside).exists()
    assert await notes.remember("new") == Remembered(1, is_new=True)
    assert await texts(also(notes), "new") == ["new"]


async def test_a_runner_does_not_set_aside_the_file_that_another_one_has_begun_anew(notes: Notes) -> None:
    await notes.remember("old")
    overwrite(notes.path)
    other = also(notes)

    await other.remember("new")  # sets the file aside
    notes._put_aside(_DamagedError(-1, ""))
    assert notes.set_aside is None
    assert await texts(notes, "new") == ["new"]


async def test_notes_of_a_newer_version_are_left_alone(notes: Notes) -> None:
    await notes.remember("x")
    with closing(apsw.Connection(str(notes.path))) as connection:
        connection.execute("PRAGMA user_version = 2")
    with pytest.raises(NotesUnavailable, match="notes of version 2; this runner knows 1: update it"):
        await notes.recall("x")
    assert notes.set_aside is None
