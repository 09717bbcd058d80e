"""A session on disk, as a host leaves it to a runner: for the runtime's suite."""

import json
import os
import shutil
from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock
from functools import partial
from pathlib import Path
from random import Random

import apsw
import trio

from nanoclaw.containers import RunnerSpec
from nanoclaw.records import Address, SessionPaths
from nanoclaw.seams import Clock, SystemClock
from nanoclaw.store import Executor, ThreadExecutor, messages_in, own_inbound
from nanoclaw.store.connections import open_writable
from nanoclaw.store.messages_in import NewMessage
from nanoclaw.store.outbound_file import create_outbound
from nanoclaw.testing.invariants import rows

CHAT = Address("test", "chat")
LOOK_S = 0.05
ANSWERED = "SELECT 1 FROM processing_ack WHERE message_id = 'in-1' AND status = 'completed'"
JOURNAL = "-journal"


async def make_session(
    home: Path, *, provider: str = "echo", executor: Executor | None = None, clock: Clock | None = None
) -> RunnerSpec:
    """A session with one message that waits, below `home`; what its runner is started with.

    Raises:
        StoreError: it cannot be written.
    """
    executor, clock = executor or ThreadExecutor(), clock or SystemClock()
    paths, workspace = (
        SessionPaths.of(home / "data", "ag-1", "sess-1"),
        home / "groups" / "main" / "workspace",
    )
    workspace.mkdir(parents=True, exist_ok=True)
    content = json.dumps({"id": "1", "text": "hello", "sender": "Ann", "senderId": "test:ann"})
    message = NewMessage("in-1", "chat", clock.now(), CHAT, content, platform_message_id="1")
    random = Random(1)  # noqa: S311 -- nothing of it is secret
    async with own_inbound(paths, executor=executor, clock=clock, random=random) as writer:
        await writer.run(messages_in.insert, message)
    await executor.run(partial(create_outbound, paths, owner=None))
    return RunnerSpec("sess-1", paths, workspace, provider, _environment(provider))


def _environment(provider: str) -> dict[str, str]:
    return {
        "AGENT_PROVIDER": provider,
        "NANOCLAW_AGENT_GROUP_ID": "ag-1",
        "NANOCLAW_AGENT_GROUP_NAME": "Main",
        "NANOCLAW_ASSISTANT_NAME": "Claw",
        "NANOCLAW_ADMIN_USER_IDS": "",
        "NANOCLAW_MCP_SERVERS": "{}",
        "NANOCLAW_SLOW_POLL_S": "30",
        "NANOCLAW_KEEP_ACKS_S": "604800",
        "NANOCLAW_KEEP_MESSAGES_S": "0",
        "TZ": "UTC",
    }


# -- what can be seen of its runner ----------------------------------------------


def lives(paths: SessionPaths) -> bool:
    """Whether a runner holds the session's lock, as every runner does before anything else (contract 6)."""
    descriptor = os.open(paths.outbound_dir / "owner", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        flock(descriptor, LOCK_EX | LOCK_NB)
        flock(descriptor, LOCK_UN)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


async def until_it_lives(paths: SessionPaths) -> None:
    """Wait for a runner that holds the lock."""
    while not lives(paths):  # noqa: ASYNC110 -- a lock tells nobody
        await trio.sleep(LOOK_S)


async def until_answered(paths: SessionPaths) -> None:
    """Wait until a runner is done with the message."""
    while not _answered(paths):  # noqa: ASYNC110 -- nobody tells a stranger
        await trio.sleep(LOOK_S)


def _answered(paths: SessionPaths) -> bool:
    try:
        return bool(rows(paths.outbound_db, ANSWERED))
    except apsw.Error:  # the runner is in the middle of a commit
        return False


# -- what a dead one leaves ------------------------------------------------------


def leave_hot_journal(path: Path) -> None:
    """Make a database look as if its writer had died within a transaction that had begun to write pages."""
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
    """Whether it can be read, and nothing of that transaction is left in it."""
    journal = Path(f"{path}{JOURNAL}")
    if journal.exists() and journal.stat().st_size:
        return False
    try:
        whole = rows(path, "PRAGMA integrity_check") == [("ok",)]
        return whole and not rows(path, "SELECT 1 FROM meta WHERE key LIKE 'half-%'")
    except apsw.Error:
        return False
