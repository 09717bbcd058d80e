"""Finds a `-wal` or `-journal` that belongs to another state of its database, before SQLite applies it.

SQLite applies any sidecar that it finds. If only the database was restored, that mixes two states. The
database has no copy of a sidecar's salts. So this module compares the change counter in its first page with
those in the sidecar's images of that page. A sidecar without such an image passes, and SQLite decides.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

import apsw
from attrs import frozen

from nanoclaw.store.engine.errors import StaleSidecar, translating

_JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")
_WAL_MAGIC = (0x377F0682, 0x377F0683)
_UNKNOWN = 0xFFFFFFFF
_MASK = 0xFFFFFFFF
_HEADER, _FRAME = 32, 24
"""Bytes of the header of a WAL, and of each frame in it."""
MOST_BYTES = 256 << 20
"""A larger sidecar is not judged."""


@frozen
class _Database:
    """The header of a database file."""

    counter: int
    page_size: int
    in_wal_mode: bool


def check(database: Path) -> None:
    """Refuse a database if a sidecar provably belongs to another state of it. Blocking.

    Raises:
        StaleSidecar: SQLite would mix two states of the database.
        StoreError: a file cannot be read.
    """
    for suffix, judge in (("-journal", _stale_journal), ("-wal", _stale_wal)):
        sidecar = database.with_name(f"{database.name}{suffix}")
        with translating(sidecar):
            content = _content(sidecar)
        if content:
            with translating(database):
                header = _header(database)
            reason = header and judge(header, content)
            if reason:
                raise StaleSidecar(database, _advice(database, sidecar, reason))


def _advice(database: Path, sidecar: Path, reason: str) -> str:
    shared = f" and {database.name}-shm" if sidecar.name.endswith("-wal") else ""
    return (
        f"{sidecar.name} beside it belongs to another {database.name}: {reason}. It seems that only "
        f"{database.name} was restored, and SQLite would mix two states. Restore the whole folder; or keep "
        f"the {database.name} that is there, and move {sidecar.name}{shared} away"
    )


def _content(sidecar: Path) -> bytes:
    try:
        size = sidecar.stat().st_size
    except FileNotFoundError:
        return b""
    return sidecar.read_bytes() if 0 < size <= MOST_BYTES else b""


def _header(database: Path) -> _Database | None:
    """Read the header, or return None for a missing or empty database.

    It is read through SQLite's VFS: closing a descriptor of our own would drop SQLite's locks on the file.
    """
    if not database.exists() or database.stat().st_size < 100:  # noqa: PLR2004 -- the size of a header
        return None
    flags = apsw.SQLITE_OPEN_MAIN_DB | apsw.SQLITE_OPEN_READONLY
    file = apsw.VFSFile("unix", str(database), [flags, 0])
    try:
        first = file.xRead(100, 0)
    finally:
        file.xClose()
    size = int.from_bytes(first[16:18])
    return _Database(
        counter=int.from_bytes(first[24:28]),
        page_size=65536 if size == 1 else size,
        in_wal_mode=first[19] == 2,  # noqa: PLR2004 -- the file format's version for WAL
    )


# -- rollback journals ---------------------------------------------------------


def _stale_journal(database: _Database, content: bytes) -> str | None:
    """Return why a hot journal is not the database's, or None.

    A transaction increments the counter, and the journal has the page from before it. So the database has the
    journal's counter, or the next one.
    """
    if len(content) < 28 or content[:8] != _JOURNAL_MAGIC:  # noqa: PLR2004 -- the fields of its header
        return None
    count, nonce, pages_before, sector, page_size = struct.unpack(">5I", content[8:28])
    if page_size != database.page_size:
        return f"its pages have {page_size} bytes instead of {database.page_size}"
    if not pages_before:
        return None if database.counter <= 1 else "it would empty the database"
    before = _counter_in_journal(content, count, nonce, sector, page_size)
    if before is None or database.counter in {before, before + 1}:
        return None
    return f"it was written at change {before}, and the database is at change {database.counter}"


def _counter_in_journal(content: bytes, count: int, nonce: int, sector: int, page_size: int) -> int | None:
    """Return the counter in the journal's image of the first page, or None without a valid image."""
    record = page_size + 8
    most = (len(content) - sector) // record
    for n in range(most if count == _UNKNOWN else min(count, most)):
        start = sector + n * record
        if int.from_bytes(content[start : start + 4]) == 1:
            page = content[start + 4 : start + 4 + page_size]
            checksum = int.from_bytes(content[start + 4 + page_size : start + record])
            sampled = sum(page[at] for at in range(page_size - 200, 0, -200))
            return int.from_bytes(page[24:28]) if checksum == (nonce + sampled) & _MASK else None
    return None


# -- write-ahead logs ----------------------------------------------------------


def _stale_wal(database: _Database, content: bytes) -> str | None:
    """Return why a WAL is not the database's, or None.

    The database is in WAL mode before its WAL begins. Its counter is then one less than that of the WAL's
    first image of the first page. Checkpoints raise it, at most to the counter of the last image.
    """
    if len(content) < _HEADER or int.from_bytes(content[:4]) not in _WAL_MAGIC:
        return None
    page_size = int.from_bytes(content[8:12])
    counters = list(_counters_in_wal(content, page_size, verified=False))
    if not counters or _fits(database, page_size, counters):
        return None
    # SQLite ignores frames with a wrong checksum. The check is slow, so only doubtful files are checked.
    counters = list(_counters_in_wal(content, page_size, verified=True))
    if not counters or _fits(database, page_size, counters):
        return None
    if page_size != database.page_size:
        return f"its pages have {page_size} bytes instead of {database.page_size}"
    if not database.in_wal_mode:
        return "the database is a copy that never had a WAL"
    known = [each for each in counters if each is not None]
    return f"it holds changes {known[0]} to {known[-1]}, and the database is at change {database.counter}"


def _fits(database: _Database, page_size: int, counters: list[int | None]) -> bool:
    known = [each for each in counters if each is not None]
    in_range = not known or known[0] - 1 <= database.counter <= known[-1]
    return page_size == database.page_size and database.in_wal_mode and in_range


def _counters_in_wal(content: bytes, page_size: int, *, verified: bool) -> Iterator[int | None]:
    """Yield the counter of each committed frame: None for a frame of another page.

    `verified` checks the checksums, as SQLite does. That takes a second for 20 MB.
    """
    salts, waiting = content[16:24], list[int | None]()
    order = ">" if int.from_bytes(content[:4]) & 1 else "<"
    sums = _checksum(content[:24], (0, 0), order) if verified else (0, 0)
    for start in range(_HEADER, len(content) - _FRAME - page_size + 1, _FRAME + page_size):
        page_number, pages_after = struct.unpack(">2I", content[start : start + 8])
        page = content[start + _FRAME : start + _FRAME + page_size]
        if verified:
            sums = _checksum(page, _checksum(content[start : start + 8], sums, order), order)
        if content[start + 8 : start + 16] != salts or (
            verified and struct.unpack(">2I", content[start + 16 : start + 24]) != sums
        ):
            return
        waiting.append(int.from_bytes(page[24:28]) if page_number == 1 else None)
        if pages_after:  # a commit
            yield from waiting
            waiting.clear()


def _checksum(data: bytes, sums: tuple[int, int], order: str) -> tuple[int, int]:
    first, second = sums
    for one, two in struct.iter_unpack(f"{order}2I", data):
        first = (first + one + second) & _MASK
        second = (second + two + first) & _MASK
    return first, second
