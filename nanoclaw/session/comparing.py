"""Compares a session's two files when it starts: one of them may have been lost or restored alone.

An `inbound.db` that is older than its `outbound.db` does not know which replies were sent since. So all
replies in `outbound.db` count as sent. A file is older if its mark says so; without a mark, if it lacks a
message that the runner has acked and answered.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import Enum

from attrs import frozen

from nanoclaw.store import Connection
from nanoclaw.store.engine.change_mark import OLDER
from nanoclaw.store.session import deliveries, restored
from nanoclaw.store.session.outbound import Standing
from nanoclaw.store.session.restored import Restored

ALL_LOST = (
    "the session's files were missing, or are older than its first reply: later messages, tasks and replies "
    "that had not been sent are lost, and the agent does not remember them"
)


class History(Enum):
    """The relation of an `inbound.db` to the `outbound.db` beside it."""

    COMPARED = "compared"
    """The files were compared since the session started."""
    MARKED = "marked"
    """It is the file that the host wrote last."""
    UNMARKED = "unmarked"
    """It has no mark: another build or an older version wrote it."""
    OLDER = "older"
    """It is older than its mark."""
    NEW = "new"
    """It never had a message, and the other file was there before it."""
    LOST = "lost"
    """Both files are new, but `v2.db` knows that the session had a runner before."""


@frozen
class Comparison:
    """The result of a comparison."""

    restored: Restored | None = None
    skipped: int | None = None
    """Rows up to this sequence number count as sent, and so do all open deliveries."""
    closed: frozenset[str] = frozenset()
    """The ids of these deliveries."""


def history_of(connection: Connection, *, fresh: bool) -> History:
    """Return the relation as far as `inbound.db` tells. `fresh` says that it never had a message."""
    judgement = restored.judgement(connection)
    if judgement == OLDER:
        return History.OLDER
    if fresh:
        return History.NEW
    return History.MARKED if judgement is None else History.UNMARKED


def compare(
    connection: Connection, history: History, standing: Standing, open_ids: Sequence[str], now: datetime
) -> Comparison:
    """Compare the files, and commit the consequences. `open_ids` are the deliveries that are not final."""
    if history is History.LOST:
        return _all_lost(connection, now)
    seen = deliveries.seen(connection)
    if _is_older(connection, history, standing):
        return _skip(connection, history, standing.newest, open_ids, now)
    known = restored.read(connection)
    if standing.complete and standing.newest < seen:
        text = (
            "outbound.db is empty or older than inbound.db: replies that had not been sent are lost, and the "
            "agent does not remember what it did since"
        )
        known = known if known and known.conclusion == text else Restored(now, text)
        restored.conclude(connection, known)
    elif history is not History.MARKED:
        restored.conclude(connection, known)
    return Comparison(known)


def _is_older(connection: Connection, history: History, standing: Standing) -> bool:
    if history is History.UNMARKED:
        return restored.has_unknown(connection, standing.answered)
    return history in {History.OLDER, History.NEW}


def _skip(
    connection: Connection, history: History, newest: int, open_ids: Sequence[str], now: datetime
) -> Comparison:
    """Count all rows and open deliveries as sent. A recurring delivery keeps its next time."""
    closed = [id_ for id_ in open_ids if "@" not in id_]
    seen = deliveries.seen(connection)
    if not closed and not newest and not seen:
        if history is History.OLDER:
            return _all_lost(connection, now)
        restored.conclude(connection, None)
        return Comparison()
    what = (
        "was missing or empty" if history is History.NEW else "was restored from an older copy, or is empty"
    )
    text = (
        f"inbound.db {what}: replies up to number {max(newest, seen)} count as sent, and messages and tasks "
        "that it does not know are lost"
    )
    for id_ in closed:
        deliveries.fail(connection, id_, "inbound.db was restored, so this counts as sent", now)
    deliveries.skip(connection, max(newest, seen))
    concluded = Restored(now, text)
    restored.conclude(connection, concluded)
    return Comparison(concluded, max(newest, seen), frozenset(closed))


def _all_lost(connection: Connection, now: datetime) -> Comparison:
    lost = Restored(now, ALL_LOST)
    restored.conclude(connection, lost)
    return Comparison(lost)
