"""A session on disk, as a host hands it to a runner, for the runtime's suite."""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import apsw
import trio

from nanoclaw.records import Address, SessionPaths
from nanoclaw.runtimes import RunnerSpec
from nanoclaw.store import Executor, ThreadExecutor, own_inbound
from nanoclaw.store.engine.connections import open_writable
from nanoclaw.store.session import messages_in
from nanoclaw.store.session.messages_in import NewMessage
from nanoclaw.store.session.outbound_file import create_outbound
from nanoclaw.system.clock import Clock, SystemClock
from nanoclaw.testing.invariants import rows

CHAT = Address("test", "chat")
LOOK_S = 0.05
ANSWERED = "SELECT message_id FROM processing_ack WHERE status = 'completed'"
JOURNAL = "-journal"


async def make_session(
    home: Path,
    *,
    provider: str = "echo",
    session: str = "sess-1",
    executor: Executor | None = None,
    clock: Clock | None = None,
) -> RunnerSpec:
    """Create a session with one waiting message below `home`; return the specification of its runner.

    Raises:
        StoreError: it cannot be written.
    """
    executor, clock = executor or ThreadExecutor(), clock or SystemClock()
    paths, workspace = (
        SessionPaths.of(home / "data", "ag-1", session),
        home / "groups" / "main" / "workspace",
    )
    workspace.mkdir(parents=True, exist_ok=True)
    await leave_message(paths, "in-1", "hello", executor, clock)
    await executor.run(partial(create_outbound, paths, owner=None))
    return RunnerSpec(session, paths, workspace, provider, _environment(provider))


async def leave_message(paths: SessionPaths, id_: str, text: str, executor: Executor, clock: Clock) -> None:
    """Add a message to a session that no host owns. Raises StoreError."""
    content = json.dumps({"id": id_, "text": text, "sender": "Ann", "senderId": "test:ann"})
    message = NewMessage(id_, "chat", clock.now(), CHAT, content, platform_message_id=id_)
    random = Random(1)  # noqa: S311 -- nothing of it is secret
    async with own_inbound(paths, executor=executor, clock=clock, random=random) as writer:
        await writer.run(messages_in.insert, message)


def _environment(provider: str) -> dict[str, str]:
    return {
        "AGENT_PROVIDER": provider,
        "NANOCLAW_AGENT_GROUP_ID": "ag-1",
        "NANOCLAW_AGENT_GROUP_NAME": "Main",
        "NANOCLAW_ASSISTANT_NAME": "Claw",
        "NANOCLAW_ADMIN_USER_IDS": "",
        "NANOCLAW_MCP_SERVERS": "{}",
        "NANOCLAW_MODEL_SETTINGS": "{}",
        "NANOCLAW_SLOW_POLL_S": "30",
        "NANOCLAW_KEEP_ACKS_S": "604800",
        "NANOCLAW_KEEP_MESSAGES_S": "0",
        "TZ": "UTC",
    }


# -- what can be seen of its runner ----------------------------------------------


def lives(paths: SessionPaths) -> bool:
    """Return whether a runner holds the session's lock, which each runner takes first (contract 6)."""
    try:
        descriptor = os.open(paths.outbound_dir / "owner", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:  # creating it is for the runner, which may be another user
        return False
    try:
        flock(descriptor, LOCK_EX | LOCK_NB)
        flock(descriptor, LOCK_UN)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


async def until_it_lives(paths: SessionPaths) -> None:
    """Wait until a runner holds the lock."""
    while not lives(paths):  # noqa: ASYNC110 -- a lock has no event
        await trio.sleep(LOOK_S)


async def until_answered(paths: SessionPaths, id_: str = "in-1") -> None:
    """Wait until a runner has finished a message."""
    while (id_,) not in _read(paths, ANSWERED):  # noqa: ASYNC110 -- a foreign process has no event
        await trio.sleep(LOOK_S)


async def said(paths: SessionPaths) -> Mapping[str, Mapping[str, object]]:
    """Return the contents that the runner sent, by id, once it has answered."""
    while not (found := _read(paths, "SELECT id, content FROM messages_out")):  # noqa: ASYNC110 -- a foreign process has no event
        await trio.sleep(LOOK_S)
    return {id_: json.loads(content) for id_, content in found}


def _read(paths: SessionPaths, sql: str) -> Sequence[tuple[Any, ...]]:
    try:
        return rows(paths.outbound_db, sql)
    except apsw.Error:  # the runner is in the middle of a commit
        return ()


# -- what a dead one leaves ------------------------------------------------------


def leave_hot_journal(path: Path) -> None:
    """Make a database look as if its writer had died in a transaction that had begun to write pages."""
    copy = path.with_suffix(".dying")
    shutil.copy(path, copy)
    connection = open_writable(copy)
    connection.execute("PRAGMA cache_size = 1").fetchall()
    connection.execute("BEGIN IMMEDIATE")
    for n in range(50):
        connection.execute("INSERT INTO meta (key, value) VALUES (?, ?)", (f"half-{n}", "x" * 3000))
    shutil.copy(f"{copy}{JOURNAL}", f"{path}{JOURNAL}")
    shutil.copy(copy, path)
    connection.close(force=True)
    copy.unlink()


def is_sound(path: Path) -> bool:
    """Return whether the database can be read, without a trace of the transaction."""
    journal = Path(f"{path}{JOURNAL}")
    if journal.exists() and journal.stat().st_size:
        return False
    try:
        whole = rows(path, "PRAGMA integrity_check") == [("ok",)]
        return whole and not rows(path, "SELECT 1 FROM meta WHERE key LIKE 'half-%'")
    except apsw.Error:
        return False
