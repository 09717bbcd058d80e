"""Drops what outbound.db no longer needs (contract 4, Pruning): a batch at a time, between turns.

An ack goes when its message is final or gone in inbound.db, a message when its delivery is final there:
the host has said that it needs neither. The mark of seq stays, so no number is used twice.
"""

import json
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from math import inf

import trio
from attrs import define, field, frozen

from agent_runner.session import Session
from agent_runner.store import Connection

INTERVAL = 3600.0
BATCH = 500
CONTINUES = "continues:"
"""Keys of meta: the turns that an interrupted turn went on from."""


@frozen
class Page:
    """What may go of some rows of a table, which is walked in the order in which it was written."""

    ids: Sequence[str]
    next: int | None
    """The rowid after which the next page begins; None where there is none."""


@frozen
class Walk:
    """How one table is walked: a page, those of it that the host is done with, their removal."""

    page: Callable[[Connection, int], Page]
    final: Callable[[Connection, Sequence[str]], Sequence[str]]
    remove: Callable[[Connection, Sequence[str]], None]


@define(eq=False)
class Pruner:
    """The pruning of one runner: at its start, and then once an hour."""

    session: Session
    _again_at: float = field(default=-inf, init=False)
    _walks: deque[Walk] = field(factory=deque, init=False)
    """What the pruning under way still has to walk."""
    _after: int = field(default=0, init=False)
    """Where it is in the first of them."""

    async def step(self) -> bool:
        """Take one batch, if it is time; whether there is more to do at once. Not to be called in a turn.

        Raises InboundUnavailableError, StoreBusyError, DatabaseError; the next call goes on.
        """
        if not self._walks:
            if trio.current_time() < self._again_at:
                return False
            await self._begin()
        if self._walks:
            await self._walk(self._walks[0])
        return bool(self._walks)

    async def _begin(self) -> None:
        self._again_at = trio.current_time() + INTERVAL
        config, now = self.session.config, self.session.seams.clock.now()
        left = await self.session.own.read(left_turns)
        if left:
            await self.session.own.write(lambda connection: forget_turns(connection, left))
        if config.keep_acks:
            self._walks.append(acks(_before(now, config.keep_acks)))
        if config.keep_messages:
            unfinished = await self.session.own.read(unfinished_turns)
            self._walks.append(messages(_before(now, config.keep_messages), unfinished))

    async def _walk(self, walk: Walk) -> None:
        own, host = self.session.own, self.session.host
        page = await own.read(lambda connection: walk.page(connection, self._after))
        final = await host.read(lambda connection: walk.final(connection, page.ids)) if page.ids else ()
        if final:
            await own.write(lambda connection: walk.remove(connection, final))
            self.session.seams.log("outbound.pruned", level="debug", rows=len(final))
        if page.next is None:
            self._walks.popleft()
        self._after = page.next or 0


def _before(now: datetime, age: float) -> float:
    return now.timestamp() - age


# -- acks ----------------------------------------------------------------------


def acks(before: float) -> Walk:
    """Acks from before a unix time."""
    return Walk(lambda connection, after: _old_acks(connection, before, after), _settled, _remove_acks)


def _old_acks(connection: Connection, before: float, after: int) -> Page:
    rows = connection.execute(
        """
        SELECT rowid, message_id, unixepoch(status_changed) < :before, 1 FROM processing_ack
        WHERE rowid > :after ORDER BY rowid LIMIT :batch
        """,
        {"before": before, "after": after, "batch": BATCH},
    )
    return _page(rows.fetchall())


def _settled(connection: Connection, ids: Sequence[str]) -> Sequence[str]:
    """Those whose message no runner is ever asked for again."""
    rows = connection.execute(
        """
        SELECT value FROM json_each(:ids) WHERE NOT EXISTS (
          SELECT 1 FROM messages_in
          WHERE id = value AND coalesce(status, 'pending') NOT IN ('completed', 'failed')
        )
        """,
        {"ids": json.dumps(ids)},
    )
    return [str(id_) for (id_,) in rows]


def _remove_acks(connection: Connection, ids: Sequence[str]) -> None:
    connection.executemany("DELETE FROM processing_ack WHERE message_id = ?", [(id_,) for id_ in ids])


# -- messages ------------------------------------------------------------------


def messages(before: float, unfinished: Collection[str]) -> Walk:
    """Messages from before a unix time, but for those of unfinished turns: these are told of them."""
    return Walk(
        lambda connection, after: _old_messages(connection, before, unfinished, after),
        lambda connection, ids: _delivered(connection, before, ids),
        _remove_messages,
    )


def _old_messages(connection: Connection, before: float, unfinished: Collection[str], after: int) -> Page:
    # One that recurs is never final: each of its occurrences is.
    rows = connection.execute(
        """
        SELECT rowid, id, unixepoch(timestamp) < :before, recurrence IS NULL, turn_id FROM messages_out
        WHERE rowid > :after ORDER BY rowid LIMIT :batch
        """,
        {"before": before, "after": after, "batch": BATCH},
    )
    return _page([(*row, once and turn not in unfinished) for *row, once, turn in rows])


def _delivered(connection: Connection, before: float, ids: Sequence[str]) -> Sequence[str]:
    rows = connection.execute(
        """
        SELECT message_out_id FROM delivered
        WHERE message_out_id IN (SELECT value FROM json_each(:ids)) AND unixepoch(delivered_at) < :before
        """,
        {"ids": json.dumps(ids), "before": before},
    )
    return [str(id_) for (id_,) in rows]


def _remove_messages(connection: Connection, ids: Sequence[str]) -> None:
    connection.executemany("DELETE FROM messages_out WHERE id = ?", [(id_,) for id_ in ids])


def _page(rows: Sequence[Sequence[object]]) -> Page:
    """A page of (rowid, id, whether it is old, whether it may go).

    One without old rows is the last: what follows is younger still, unless the clock was set back; then it
    waits until it is old.
    """
    ids = [str(id_) for _, id_, old, may_go in rows if old and may_go]
    more = len(rows) == BATCH and any(old for _, _, old, _ in rows)
    return Page(ids, int(str(rows[-1][0])) if more else None)


# -- turns ---------------------------------------------------------------------


def unfinished_turns(connection: Connection) -> frozenset[str]:
    """The turns that a later one is told of: those of acks that are not final, and those before them."""
    rows = connection.execute(
        """
        SELECT a.turn_id, m.value
        FROM processing_ack AS a LEFT JOIN meta AS m ON m.key = :continues || a.turn_id
        WHERE a.status IN ('processing', 'released') AND a.turn_id IS NOT NULL
        """,
        {"continues": CONTINUES},
    )
    return frozenset(turn for last, earlier in rows for turn in (str(last), *_turns(earlier)))


def _turns(earlier: object) -> Iterable[str]:
    return [] if earlier is None else [str(turn) for turn in json.loads(str(earlier))]


def left_turns(connection: Connection) -> Sequence[str]:
    """The keys of meta whose turn no ack names any more."""
    rows = connection.execute(
        """
        SELECT key FROM meta
        WHERE key >= :continues AND key < :beyond
          AND substr(key, length(:continues) + 1) NOT IN (
            SELECT turn_id FROM processing_ack WHERE turn_id IS NOT NULL
          )
        """,
        {"continues": CONTINUES, "beyond": CONTINUES[:-1] + chr(ord(CONTINUES[-1]) + 1)},
    )
    return [str(key) for (key,) in rows]


def forget_turns(connection: Connection, keys: Sequence[str]) -> None:
    """Drop them."""
    connection.executemany("DELETE FROM meta WHERE key = ?", [(key,) for key in keys])
