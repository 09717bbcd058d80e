"""Opens the transcript of a channel. The channel owns it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache, partial
from pathlib import Path
from random import Random

import apsw
from attrs import frozen

from nanoclaw.store.engine import sidecars
from nanoclaw.store.engine.connections import make_private_dir, open_writable
from nanoclaw.store.engine.errors import translating
from nanoclaw.store.engine.executor import Executor
from nanoclaw.store.engine.locks import holding
from nanoclaw.store.engine.migrations import Migration, apply_session, load, pending_session
from nanoclaw.store.engine.reader import Reader, open_reader
from nanoclaw.store.engine.writer import Writer, writing

FILE = "transcript.db"
LOCK = "transcript.owner"


@frozen
class Transcript:
    """The writer and the reader of one transcript."""

    writer: Writer
    reader: Reader


@cache
def _migrations() -> tuple[Migration, ...]:
    return load("transcript", {})


@asynccontextmanager
async def own_transcript(folder: Path, *, executor: Executor, random: Random) -> AsyncIterator[Transcript]:
    """Own the transcript in a folder. A missing folder or file is created; an old file is migrated.

    Raises:
        Owned: another process has it.
        NewerDatabase, CorruptDatabase, StoreError: it cannot be used.
    """
    await executor.run(partial(_make_folder, folder))
    path = folder / FILE
    async with (
        holding(folder / LOCK, executor) as lock,
        writing(path, partial(_connect, path), executor, random, lock.check) as writer,
    ):
        for migration in await writer.run(pending_session, path, _migrations()):
            await writer.run(apply_session, migration)
        async with open_reader(path, executor, random=random) as reader:
            yield Transcript(writer, reader)


def _make_folder(folder: Path) -> None:
    with translating(folder):
        make_private_dir(folder)


def _connect(path: Path) -> apsw.Connection:
    sidecars.check(path)
    with translating(path):
        connection = open_writable(path)
    try:
        connection.set_busy_timeout(0)  # `Patience` waits outside SQLite
        pending_session(connection, path, _migrations())
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
        connection.execute("PRAGMA synchronous = FULL").fetchall()
    except BaseException:
        connection.close()
        raise
    return connection
