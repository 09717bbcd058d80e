"""The notes of an agent: `notes.db` in its workspace, which the runners of all its sessions share.

Each call opens the file, runs one transaction and closes it. So nothing is held on a file that another runner
sets aside, or that people replace.
"""

import fcntl
import os
import stat
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TypeVar

import apsw
from attrs import define, field, frozen

from agent_runner.clock import Clock
from agent_runner.errors import NotesUnavailable
from agent_runner.log import Log
from agent_runner.records import Note, Notebook
from agent_runner.seams import Executor, Lane
from agent_runner.store import Connection, open_shared, retry_while_locked
from agent_runner.text import clean
from agent_runner.times import to_text

T = TypeVar("T")
FILE = "notes.db"
VERSION = 1
LONGEST_NOTE, MOST_NOTES = 4_000, 10_000
MOST_FOUND = 10
NEWEST, MOST_USED = 20, 10
"""Notes that the prompt may have, of each kind."""
MOST_WORDS = 32
PREFIX = 4
"""Words of at least so many characters also find longer ones."""
_DAMAGE = (apsw.NotADBError, apsw.CorruptError)


@frozen
class Remembered:
    """The outcome of `Notes.remember`."""

    id: int
    """The number of the note."""
    is_new: bool


@frozen(str=False)
class _DamagedError(Exception):
    """A file that is not a database of notes."""

    inode: int
    reason: str


@define(eq=False)
class Notes:
    """Reads and writes notes. Its methods raise NotesUnavailable."""

    folder: Path
    """The workspace."""
    schema_dir: Path
    _executor: Executor
    _clock: Clock
    _log: Log
    set_aside: str | None = field(default=None, init=False)
    """The name of the last damaged file that this runner set aside. The notes began anew then."""

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / FILE

    async def remember(self, text: str, tags: Sequence[str] = ()) -> Remembered | None:
        """Store a note, or find the one with the same text. Return None if there is no room."""
        words, now = " ".join(dict.fromkeys(tag for each in tags for tag in each.split())), self._clock.now()
        return await self._run(
            lambda connection: _remember(connection, _storable(text), words, now),
            "commit",
        )

    async def recall(self, query: str) -> Sequence[Note]:
        """Return the notes that fit a query, best first, and count them as used."""
        if not self._is_there():
            return ()
        found = await self._run(lambda connection: _search(connection, _storable(query)), "read")
        with suppress(NotesUnavailable):  # they are found, counted or not
            await self._run(lambda connection: _count_uses(connection, found), "commit")
        return found

    async def forget(self, id_: int) -> bool:
        """Remove a note. Return True if there was one with this number."""
        return self._is_there() and await self._run(lambda connection: _forget(connection, id_), "commit")

    async def notebook(self) -> Notebook:
        """Return the newest and the most used notes."""
        return await self._run(_notebook, "read") if self._is_there() else Notebook()

    def _is_there(self) -> bool:
        return os.path.lexists(self.path)

    # -- transactions ----------------------------------------------------------

    async def _run(self, change: Callable[[Connection], T], lane: Lane) -> T:
        try:
            return await self._attempt(change, lane)
        except _DamagedError as error:
            damage = error
        await self._executor.run(lambda: self._put_aside(damage), lane=lane)
        try:
            return await self._attempt(change, lane)
        except _DamagedError as error:
            raise NotesUnavailable(f"the notes cannot be used: {error.reason}") from error

    async def _attempt(self, change: Callable[[Connection], T], lane: Lane) -> T:
        try:
            return await retry_while_locked(
                lambda: self._executor.run(lambda: self._transact(change, lane), lane=lane)
            )
        except (apsw.BusyError, apsw.LockedError) as error:
            raise NotesUnavailable("the notes are in use; try again in a moment") from error
        except (apsw.Error, OSError) as error:
            raise NotesUnavailable(f"the notes cannot be used now: {error}") from error

    def _transact(self, change: Callable[[Connection], T], lane: Lane) -> T:
        inode = _inode_of_notes(self.path)
        try:
            with closing(open_shared(self.path)) as connection:  # closing rolls back
                connection.execute("BEGIN" if lane == "read" else "BEGIN IMMEDIATE")
                _prepare(connection, self.schema_dir)
                _check_tables(connection, inode)
                result = change(connection)
                if lane == "commit":
                    self._executor.before_commit(self.path)
                connection.execute("COMMIT")
        except _DAMAGE as error:
            raise _DamagedError(inode, str(error)) from error
        if lane == "commit":
            self._executor.after_commit(self.path)
        return result

    def _put_aside(self, damage: _DamagedError) -> None:
        """Rename a damaged file and its journal, unless another runner has done so."""
        folder = os.open(self.folder, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _inode(self.path) != damage.inode:
                return
            name = f"{FILE}.damaged-{self._clock.now():%Y%m%d-%H%M%S}-{damage.inode}"
            for suffix in ("-journal", "-wal", "-shm", ""):  # a journal must not stay for the new file
                with suppress(FileNotFoundError):
                    Path(f"{self.path}{suffix}").rename(self.folder / f"{name}{suffix}")
        except OSError as error:
            raise NotesUnavailable(f"the notes are damaged and cannot be set aside now: {error}") from error
        finally:
            os.close(folder)
        self.set_aside = name
        self._log("notes.damaged", level="error", reason=damage.reason, kept=name)


def _storable(text: str) -> str:
    """Return a text that SQLite can store and search. At a NUL it would end."""
    return clean(text.replace("\0", " ")).strip()


def _inode(path: Path) -> int:
    """Return the number of a file, or 0 if there is none."""
    return path.lstat().st_ino if os.path.lexists(path) else 0


def _inode_of_notes(path: Path) -> int:
    """Return the number of the file of notes. Raises _DamagedError for what is not a file and could block."""
    inode = _inode(path)
    for each in (path, path.with_name(f"{path.name}-journal")):
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(each.lstat().st_mode):
                raise _DamagedError(inode, f"{each.name} is not a regular file")
    return inode


# -- in the database -----------------------------------------------------------------


@cache
def _schema(schema_dir: Path) -> str:
    return (schema_dir / "notes" / "001-initial.sql").read_text()


def _prepare(connection: Connection, schema_dir: Path) -> None:
    version = int(str(connection.execute("PRAGMA user_version").get))
    if version > VERSION:
        raise NotesUnavailable(f"notes of version {version}; this runner knows {VERSION}: update it")
    if version < VERSION:
        connection.execute(_schema(schema_dir)).fetchall()
        connection.execute(f"PRAGMA user_version = {VERSION}")


def _check_tables(connection: Connection, inode: int) -> None:
    """Raise _DamagedError for a database with other tables. Later errors are not the file's."""
    try:
        connection.execute("SELECT id, text, tags, written_at, recalls FROM notes LIMIT 0").fetchall()
        connection.execute("SELECT rowid, text, tags FROM notes_index LIMIT 0").fetchall()
    except apsw.SQLError as error:
        raise _DamagedError(inode, str(error)) from error


def _remember(connection: Connection, text: str, tags: str, now: datetime) -> Remembered | None:
    found = connection.execute("SELECT id, tags FROM notes WHERE text = :text", {"text": text}).fetchall()
    if found:
        ((id_, before),) = found
        merged = " ".join(dict.fromkeys([*str(before).split(), *tags.split()]))
        connection.execute("UPDATE notes SET tags = :tags WHERE id = :id", {"tags": merged, "id": id_})
        return Remembered(int(str(id_)), is_new=False)
    if _count(connection) >= MOST_NOTES:
        return None
    added = connection.execute(
        "INSERT INTO notes (text, tags, written_at) VALUES (:text, :tags, :now) RETURNING id",
        {"text": text, "tags": tags, "now": to_text(now)},
    ).get
    return Remembered(int(str(added)), is_new=True)


def _search(connection: Connection, query: str) -> Sequence[Note]:
    """Return the notes with most of the words, else those with the query as it stands.

    Each word is quoted, so nothing in it is syntax. The second search is for scripts without spaces.
    """
    words = (word.replace('"', " ").strip() for word in query.split()[:MOST_WORDS])
    terms = " OR ".join(f'"{word}"{" *" if len(word) >= PREFIX else ""}' for word in words if word)
    fitting = _notes(
        connection,
        "JOIN notes_index ON notes_index.rowid = notes.id "
        "WHERE notes_index MATCH :terms ORDER BY rank, id DESC",
        MOST_FOUND,
        terms=terms or '""',
    )
    return fitting or _notes(
        connection,
        "WHERE instr(lower(notes.text || ' ' || notes.tags), lower(:query)) ORDER BY id DESC",
        MOST_FOUND,
        query=query,
    )


def _count_uses(connection: Connection, notes: Sequence[Note]) -> None:
    for note in notes:
        connection.execute("UPDATE notes SET recalls = recalls + 1 WHERE id = :id", {"id": note.id})


def _forget(connection: Connection, id_: int) -> bool:
    connection.execute("DELETE FROM notes WHERE id = :id", {"id": id_})
    return bool(connection.changes())


def _notebook(connection: Connection) -> Notebook:
    newest = _notes(connection, "ORDER BY id DESC", NEWEST)
    used = _notes(connection, "WHERE recalls > 0 ORDER BY recalls DESC, id DESC", MOST_USED)
    return Notebook(newest, used, _count(connection))


def _count(connection: Connection) -> int:
    return int(str(connection.execute("SELECT count(*) FROM notes").get))


def _notes(connection: Connection, which: str, most: int, **values: str) -> Sequence[Note]:
    rows = connection.execute(
        f"""
        SELECT notes.id, substr(notes.text, 1, :longest), substr(notes.tags, 1, 600), notes.written_at
        FROM notes {which} LIMIT :most
        """,  # noqa: S608 -- of this file
        {**values, "most": most, "longest": LONGEST_NOTE},
    )
    return [Note(int(str(id_)), str(text), str(tags), str(at)) for id_, text, tags, at in rows]
