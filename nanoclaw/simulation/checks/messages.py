"""Checks that messages and their files are stored, kept and answered."""

import json
import shutil
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path

import apsw
from attrs import evolve

from nanoclaw.records import Address, InboundEvent, SessionPaths
from nanoclaw.records.content import storable
from nanoclaw.records.files import decoded
from nanoclaw.simulation.snapshot import Snapshot, is_hot
from nanoclaw.testing.invariants import (
    SENT_TEXT,
    Evidence,
    rows,
)

INBOX = "in/inbox/"


def accepted_messages_are_kept(snapshot: Snapshot) -> Iterator[str]:
    """A confirmed message is stored in its session or parked for it."""
    parked = defaultdict[str, set[str]](set)
    for session_id, event in rows(snapshot.data / "v2.db", "SELECT session_id, event FROM parked_events"):
        parked[session_id].add(_event_id(event))
    for paths in snapshot.sessions():
        sql = "SELECT id, json_extract(content, '$.text') FROM messages_in WHERE kind = 'chat'"
        kept = set(rows(paths.inbound_db, sql))
        for event in snapshot.events(paths):
            wanted = (event.message_id, storable(event.message.text))
            if event.version and not original_is_kept(event, kept):
                continue  # an edit that wakes no agent is stored only beside its message
            if wanted not in kept and event.event_id not in parked[paths.root.name]:
                yield f"{paths.root.name}: {event.event_id} ({event.message.text}) was confirmed, not stored"


def original_is_kept(event: InboundEvent, kept: Collection[tuple[str, str]]) -> bool:
    """Return whether a session has the message that an event edits."""
    original = evolve(event, version="").message_id
    return any(id_ == original for id_, _ in kept)


def _event_id(event: str) -> str:
    found = json.loads(event)
    return str(found.get("event_id") or found.get("event", {}).get("event_id"))


def users_are_heard_in_order(snapshot: Snapshot) -> Iterator[str]:
    """The messages of one user to one address have numbers in the order in which they were sent."""
    for paths in snapshot.sessions():
        numbers = dict(rows(paths.inbound_db, "SELECT id, seq FROM messages_in WHERE kind = 'chat'"))
        spoken = defaultdict[tuple[str | None, Address], list[InboundEvent]](list)
        for event in snapshot.events(paths):
            if event.message_id in numbers:
                spoken[event.message.sender_id, event.address].append(event)
        for one, two in (pair for events in spoken.values() for pair in pairwise(events)):
            if numbers[one.message_id] >= numbers[two.message_id]:
                yield f"{paths.root.name}: {two.event_id} has a lower number than {one.event_id} before it"


def files_are_kept(snapshot: Snapshot) -> Iterator[str]:
    """The files of a message are in the session's inbox, at the paths in its row."""
    sql = """
        SELECT json_extract(each.value, '$.localPath')
        FROM messages_in, json_each(content, '$.attachments') AS each WHERE messages_in.id = :id
        """
    for paths in snapshot.sessions():
        for event in snapshot.events(paths):
            sent = [decoded(each.data or "") for each in event.message.attachments]
            told = [path for (path,) in rows(paths.inbound_db, sql, id=event.message_id)] if sent else []
            kept = [paths.inbox / str(path).removeprefix(INBOX) for path in told]
            if [file.read_bytes() for file in kept if file.is_file()] != sent:
                yield f"{paths.root.name}: the files of {event.event_id} are not at {told}"


_COMPLETED = """
    SELECT id, json_extract(content, '$.text') FROM messages_in
    WHERE status = 'completed' AND kind = 'chat' AND trigger
    """


def completed_messages_are_answered(snapshot: Snapshot) -> Iterator[str]:
    """Each completed message has an answer: agents answer every message.

    A model answers those of a turn together, by their first words. If its turn is given up, only the last
    message of each chat has the answer that says so.
    """
    for paths in snapshot.sessions():
        answered = {id_ for (id_,) in rows(paths.outbound_db, "SELECT in_reply_to FROM messages_out")}
        by_name = set(_answered_together(paths)) if paths.root.name in snapshot.modelled else set[str]()
        for id_, text in rows(paths.inbound_db, _COMPLETED):
            name = (str(text or "").split() or ["?"])[0]
            if id_ not in answered and name not in by_name and id_ not in snapshot.given_up:
                yield f"{paths.root.name}: {id_} is completed, but has no answer"


def _answered_together(paths: SessionPaths) -> Iterator[str]:
    sql = f"SELECT {SENT_TEXT} FROM messages_out WHERE in_reply_to IS NOT NULL"  # noqa: S608 -- a constant
    for (text,) in rows(paths.outbound_db, sql):
        yield from (line.removeprefix("re ") for line in str(text).splitlines() if line.startswith("re "))


def failed_messages_are_told(snapshot: Snapshot) -> Iterator[str]:
    """A user is notified if their message or task fails. Context messages need no notice."""
    sql = """
        SELECT id FROM messages_in WHERE status = 'failed' AND kind IN ('chat', 'task') AND trigger
          AND NOT EXISTS (SELECT 1 FROM deliveries WHERE message_out_id = 'notice-' || id)
        """
    for paths in snapshot.sessions():
        for (id_,) in rows(paths.inbound_db, sql):
            yield f"{paths.root.name}: {id_} has failed, but the user was not notified"


def nothing_waits_behind_a_journal(snapshot: Snapshot) -> Iterator[str]:
    """At rest a hot journal may remain only in a session without pending work.

    The host leaves one if its disk failed in a write and again in the rollback. The next message or the next
    host rolls it back.
    """
    sql = """
        SELECT (SELECT count(*) FROM messages_in WHERE status = 'pending' AND trigger AND kind <> 'task')
          + (SELECT count(*) FROM deliveries WHERE status <> 'final')
        """
    for paths in Evidence(snapshot.data).sessions():
        if paths in snapshot.paths or paths.root.name in snapshot.spoilt:
            continue
        aside = snapshot.data.parent / f"aside-{paths.root.name}.db"  # connections are kept by path
        with _without_journal(paths.inbound_db, aside) as file:
            if waiting := rows(file, sql)[0][0]:
                yield f"{paths.root.name}: {waiting} messages wait behind a hot journal"


@contextmanager
def _without_journal(database: Path, aside: Path) -> Iterator[Path]:
    """Yield the file to read: a copy with its journal rolled back, if it has a hot journal."""
    if not is_hot(database):
        yield database
        return
    copies = {database: aside, Path(f"{database}-journal"): Path(f"{aside}-journal")}
    try:
        for file, copy in copies.items():
            shutil.copy(file, copy)
        with closing(apsw.Connection(str(aside))) as connection:  # noqa: TID251 -- a copy has no owner
            connection.execute("BEGIN IMMEDIATE; ROLLBACK").fetchall()
        yield aside
    finally:
        for copy in copies.values():
            copy.unlink(missing_ok=True)
