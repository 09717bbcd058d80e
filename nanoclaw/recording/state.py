"""The data directory: its copy when a recording begins, and the final state of its sessions.

The copy is made while the host owns the data and no session is open. Nobody writes `inbound.db` then, so it
and its journal are copied as bytes. A runner may write `outbound.db`, so that file and `v2.db` are read
through SQLite. If SQLite cannot read it, its bytes are copied, because they are what the host will see.
"""

import os
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import apsw

from nanoclaw.recording.notes import Left
from nanoclaw.recording.redaction import cross_out_file
from nanoclaw.records import SessionPaths
from nanoclaw.store import Connection, Executor, Reader, StoreError, open_untrusted
from nanoclaw.store.engine.connections import make_private_dir, open_readonly

MAX_STATE = 256 << 20
"""Limit in bytes of the databases to copy. A larger home is not recorded."""
_PATIENCE_S = 2.0


def size_of(data: Path) -> int:
    """Return the number of bytes that would be copied."""
    files = [data / "v2.db", *(file for paths in sessions_of(data) for file in _files(paths))]
    return sum(os.lstat(file).st_size for file in files if os.path.exists(file))  # noqa: PTH110 -- False for one that cannot be reached


def sessions_of(data: Path) -> Iterator[SessionPaths]:
    """Yield the sessions that have a folder, ordered by name."""
    yield from (SessionPaths(root) for root in sorted(data.glob("sessions/*/*")) if root.is_dir())


def _files(paths: SessionPaths) -> list[Path]:
    databases = (paths.inbound_db, paths.outbound_db)
    return [file for database in databases for file in (database, _journal(database))]


def _journal(database: Path) -> Path:
    return database.with_name(f"{database.name}-journal")


async def copy_state(
    data: Path, into: Path, central: Reader, executor: Executor, *, redacted: bool = False
) -> None:
    """Copy the databases. The host calls this before it opens a session.

    Raises:
        OSError, StoreError: a file cannot be read or written.
    """
    image = await central.run(_image)
    await executor.run(partial(_write, into / "v2.db", image))
    for paths in await executor.run(lambda: list(sessions_of(data))):
        copy = SessionPaths(into / paths.root.relative_to(data))
        await executor.run(partial(_copy_bytes, paths.inbound_db, copy.inbound_db))
        if await executor.run(partial(os.path.lexists, paths.outbound_db)):
            await _copy_outbound(paths.outbound_db, copy.outbound_db, executor)
    if redacted:
        await executor.run(partial(_redact, into))


def _redact(into: Path) -> None:
    """Redact all copies. A file that is not a readable database is deleted, as it cannot be redacted."""
    for database in [file for file in into.rglob("*.db") if file.is_file()]:
        try:
            cross_out_file(database)
        except apsw.Error:
            database.unlink()
            _journal(database).unlink(missing_ok=True)


def _image(connection: Connection) -> bytes:
    """Return a database's content, as one file."""
    return bytes(connection.serialize("main"))


async def _copy_outbound(source: Path, target: Path, executor: Executor) -> None:
    async with open_untrusted(source, executor, patience_s=_PATIENCE_S, max_bytes=MAX_STATE) as reader:
        try:
            image = await reader.run(_image)
        except StoreError:
            await executor.run(partial(_copy_bytes, source, target))
        else:
            await executor.run(partial(_write, target, image))


def _copy_bytes(source: Path, target: Path) -> None:
    """Copy a database that no process has open, with its journal. Irregular files are left out."""
    for file, copy in ((source, target), (_journal(source), _journal(target))):
        content = _content(file)
        if content is not None:
            _write(copy, content)


def _content(file: Path) -> bytes | None:
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as opened:
        return opened.read(MAX_STATE) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None


def _write(file: Path, content: bytes) -> None:
    make_private_dir(file.parent)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(content)


# -- at the end ------------------------------------------------------------------


def left(paths: SessionPaths) -> Left | None:
    """Return the final state of a stopped session, or None if it cannot be read."""
    try:
        connection = open_readonly(paths.inbound_db)
    except Exception:  # noqa: BLE001 -- the recording must end, even if the file is damaged in any way
        return None
    try:
        return Left(paths.root.name, _messages(connection), _deliveries(connection))
    except Exception:  # noqa: BLE001 -- as above
        return None
    finally:
        connection.close()


def _messages(connection: Connection) -> dict[str, str]:
    rows = connection.execute("SELECT id, status, coalesce(tries, 0) FROM messages_in ORDER BY seq")
    return {str(id_): f"{status}, tries {tries}" for id_, status, tries in rows}


def _deliveries(connection: Connection) -> dict[str, str]:
    rows = connection.execute(
        """
        SELECT message_out_id, deliveries.status, delivered.status FROM deliveries
        LEFT JOIN delivered USING (message_out_id) ORDER BY deliveries.seq, message_out_id
        """
    )
    return {str(id_): str(final or status) for id_, status, final in rows}
