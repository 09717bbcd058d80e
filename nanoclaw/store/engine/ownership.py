"""Ownership of a database: its lock, its migrations and its writer. Nothing else creates a `Writer`."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random

import apsw
import structlog

from nanoclaw.records import SessionPaths
from nanoclaw.store.engine import anew, backups, change_mark, migration_steps, other_openings, sidecars
from nanoclaw.store.engine.anew import BACKUPS, CENTRAL
from nanoclaw.store.engine.connections import guarding, make_private_dir, open_writable
from nanoclaw.store.engine.errors import Owned, translating
from nanoclaw.store.engine.executor import Executor
from nanoclaw.store.engine.locks import held, holding
from nanoclaw.store.engine.migrations import (
    Migration,
    applied_names,
    apply_central,
    apply_session,
    pending_central,
    pending_session,
    register_functions,
    tables_of,
)
from nanoclaw.store.engine.writer import Writer, writing
from nanoclaw.system.clock import Clock

LOCK = "owner"

_log = structlog.get_logger()


@asynccontextmanager
async def own_central(
    data: Path, *, executor: Executor, clock: Clock, random: Random, begin_anew: bool = False
) -> AsyncIterator[Writer]:
    """Own the data directory and its `v2.db`. A missing one is created, an old one backed up and migrated.

    `begin_anew` moves the files of a home that has lost its `v2.db` into a folder beside the new ones.

    Raises:
        Owned: another host owns the directory.
        LostDatabase: `v2.db` is missing or empty, and there are sessions.
        StaleSidecar: `v2.db-wal` or `v2.db-journal` belongs to another `v2.db`.
        ForeignDatabase, NewerDatabase, CorruptDatabase: this NanoClaw cannot use `v2.db`.
        OpenElsewhere: this process has `v2.db` open by another SQLite library.
        StoreError: it cannot be opened or migrated; or it is in use, and `begin_anew` is True.
    """
    async with holding(data / LOCK, executor) as lock:
        if begin_anew and (kept := await executor.run(partial(anew.begin, data, clock.now()))):
            _log.warning("central.begun_anew", old_files=str(kept))
        connect = partial(_connect_central, data / CENTRAL, clock, random)
        with guarding(data):
            async with writing(data / CENTRAL, connect, executor, random, lock.check) as writer:
                await _migrate_central(writer, data / BACKUPS, executor, clock)
                await writer.run(_count_owner)
                yield writer


def owner_of(data: Path) -> Owned | None:
    """Return the error that `own_central` would raise if a process owns the data directory now, else None."""
    return held(data / LOCK)


@asynccontextmanager
async def own_inbound(
    paths: SessionPaths,
    *,
    executor: Executor,
    clock: Clock,
    random: Random,
    owner: tuple[int, int] | None = None,
) -> AsyncIterator[Writer]:
    """Own a session's `inbound.db`. A missing file is created; a dead host's transaction is rolled back.

    If the file is older than its mark, that is noted in it (`change_mark`).

    `owner` is the (uid, gid) that gets the folders and the file, if the container's user is not the host's.

    Raises:
        Owned: another owner holds the session.
        ForeignDatabase, NewerDatabase, CorruptDatabase: this NanoClaw cannot use the file.
        StaleSidecar: `inbound.db-journal` belongs to another `inbound.db`.
        StoreError: it cannot be opened or migrated.
    """
    async with holding(paths.lock, executor) as lock:
        connect = partial(_connect_inbound, paths, clock, random, owner)
        with guarding(paths.root):
            async with writing(paths.inbound_db, connect, executor, random, lock.check) as writer:
                marked = await executor.run(partial(change_mark.read, lock.descriptor))
                judgement = await writer.run(change_mark.judge, marked)
                await _migrate_inbound(writer)
                if judgement is not None:
                    await writer.run(change_mark.note, judgement)
                with writer.when_committed(partial(change_mark.write, lock.descriptor)):
                    yield writer


async def _migrate_central(writer: Writer, copies: Path, executor: Executor, clock: Clock) -> None:
    migrations = migration_steps.central()
    pending = await writer.run(pending_central, writer.path, migrations)
    if not pending:
        return
    if await writer.run(applied_names):
        await executor.run(partial(_back_up, writer.path, copies, clock))
    for migration in pending:
        await writer.run(apply_central, migration)
    # Prune only now: if a migration fails at every start, the oldest copy must survive.
    await executor.run(partial(backups.prune, copies))


def _count_owner(connection: apsw.Connection) -> None:
    """Count the owners of `v2.db`. This changes its first page, which `sidecars` compares with its WAL."""
    owners = connection.execute("PRAGMA user_version").get
    connection.execute(f"PRAGMA user_version = {(int(owners) + 1) % (1 << 31):d}").fetchall()


def _back_up(database: Path, copies: Path, clock: Clock) -> None:
    with translating(copies):
        backups.back_up(database, copies, clock.now())


async def _migrate_inbound(writer: Writer) -> None:
    migrations = migration_steps.inbound()
    for migration in await writer.run(pending_session, writer.path, migrations):
        await writer.run(_apply_or_adopt, migration, migrations[0])


def _apply_or_adopt(connection: apsw.Connection, migration: Migration, first: Migration) -> None:
    if migration == first and tables_of(connection):
        migration_steps.adopt_inbound(connection, first)
    else:
        apply_session(connection, migration)


# -- in the worker -------------------------------------------------------------


def _connect_central(path: Path, clock: Clock, random: Random) -> apsw.Connection:
    anew.check_file(path)
    other_openings.check(path)
    sidecars.check(path)
    connection = _open(path)
    try:
        # Check before the first write, which sets the journal mode: the file may be another program's.
        pending_central(connection, path, migration_steps.central())
        anew.check_rows(connection, path)
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
        connection.execute("PRAGMA synchronous = FULL").fetchall()
        connection.execute("PRAGMA foreign_keys = ON").fetchall()
        register_functions(connection, clock, random)
    except BaseException:
        connection.close()
        raise
    return connection


def _connect_inbound(
    paths: SessionPaths, clock: Clock, random: Random, owner: tuple[int, int] | None
) -> apsw.Connection:
    for directory in (paths.inbound_dir, paths.inbox):
        with translating(directory):
            make_private_dir(directory)
    sidecars.check(paths.inbound_db)
    connection = _open(paths.inbound_db)
    try:
        # The first read rolls back the transaction of a dead host.
        pending_session(connection, paths.inbound_db, migration_steps.inbound())
        connection.execute("PRAGMA journal_mode = DELETE").fetchall()
        connection.execute("PRAGMA synchronous = EXTRA").fetchall()
        register_functions(connection, clock, random)
        if owner is not None:
            for place in (paths.inbound_dir, paths.inbox, paths.inbound_db):
                with translating(place):
                    os.chown(place, *owner)
    except BaseException:
        connection.close()
        raise
    return connection


def _open(path: Path) -> apsw.Connection:
    with translating(path):
        connection = open_writable(path)
    connection.set_busy_timeout(0)  # `Patience` waits outside SQLite
    return connection
