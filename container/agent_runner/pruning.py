"""Prunes outbound.db (contract 4, Pruning), one batch at a time, between turns.

An ack is pruned once its message is final or gone in inbound.db. A message is pruned once its delivery is
final there. Then the host needs neither. The high-water mark of seq stays, so no number is used twice.
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
from agent_runner.times import to_text

INTERVAL = 3600.0
BATCH = 500
CONTINUES = "continues:"
"""Prefix of keys of meta, which hold the turns that a turn continues."""


@frozen
class Page:
    """The prunable rows of one page of a table. A table is read in the order in which it was written."""

    ids: Sequence[str]
    next: int | None
    """The rowid after which the next page begins, or None after the last page."""


@frozen
class Walk:
    """The pruning of one table: read a page, ask the host's file which of its rows are final, remove them."""

    page: Callable[[Connection, int], Page]
    final: Callable[[Connection, Sequence[str]], Sequence[str]]
    remove: Callable[[Connection, Sequence[str]], None]


@define(eq=False)
class Pruner:
    """Prunes at the start of a runner, and then once an hour."""

    session: Session
    _again_at: float = field(default=-inf, init=False)
    _walks: deque[Walk] = field(factory=deque, init=False)
    """The remaining tables of the current pruning."""
    _after: int = field(default=0, init=False)
    """The rowid reached in the first of them."""

    async def step(self) -> bool:
        """Prune one batch, if it is time. Return True if there is more to do. Never call it in a turn.

        Raises InboundUnavailableError, StoreBusyError, DatabaseError; the next call continues.
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
        left = await self.session.outbound.read(left_turns)
        if left:
            await self.session.outbound.write(lambda connection: forget_turns(connection, left))
        if not config.keep_acks and not config.keep_messages:
            return
        if await self.session.outbound.read(lambda connection: is_ahead(connection, now)):
            await self.session.outbound.write(lambda connection: date_back(connection, now))
        if config.keep_acks:
            self._walks.append(acks(_before(now, config.keep_acks)))
        if config.keep_messages:
            unfinished = await self.session.outbound.read(unfinished_turns)
            self._walks.append(messages(_before(now, config.keep_messages), unfinished))

    async def _walk(self, walk: Walk) -> None:
        outbound, inbound = self.session.outbound, self.session.inbound
        page = await outbound.read(lambda connection: walk.page(connection, self._after))
        final = await inbound.read(lambda connection: walk.final(connection, page.ids)) if page.ids else ()
        if final:
            await outbound.write(lambda connection: walk.remove(connection, final))
            self.session.seams.log("outbound.pruned", level="debug", rows=len(final))
        if page.next is None:
            self._walks.popleft()
        self._after = page.next or 0


# -- after the date was set back -------------------------------------------------


def is_ahead(connection: Connection, now: datetime) -> bool:
    """Return True if final acks or messages have dates ahead of now."""
    row = connection.execute(
        """
        SELECT EXISTS (
          SELECT 1 FROM processing_ack
          WHERE status IN ('completed', 'failed') AND unixepoch(status_changed) > unixepoch(:now) + 1
        ) OR EXISTS (SELECT 1 FROM messages_out WHERE unixepoch(timestamp) > unixepoch(:now) + 1)
        """,
        {"now": to_text(now)},
    ).fetchone()
    return row is not None and bool(row[0])


def date_back(connection: Connection, now: datetime) -> None:
    """Set dates ahead of now to now, so that these rows are pruned in time. A claim keeps its date."""
    values = {"now": to_text(now)}
    connection.execute(
        """
        UPDATE processing_ack SET status_changed = :now
        WHERE status IN ('completed', 'failed') AND unixepoch(status_changed) > unixepoch(:now) + 1
        """,
        values,
    )
    connection.execute(
        "UPDATE messages_out SET timestamp = :now WHERE unixepoch(timestamp) > unixepoch(:now) + 1", values
    )


def _before(now: datetime, age: float) -> float:
    return now.timestamp() - age


# -- acks ----------------------------------------------------------------------


def acks(before: float) -> Walk:
    """Return the pruning of acks from before a unix time."""
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
    """Return the ids whose messages are final or gone."""
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
    """Return the pruning of messages from before a unix time. Those of unfinished turns stay."""
    return Walk(
        lambda connection, after: _old_messages(connection, before, unfinished, after),
        lambda connection, ids: _delivered(connection, before, ids),
        _remove_messages,
    )


def _old_messages(connection: Connection, before: float, unfinished: Collection[str], after: int) -> Page:
    # A recurring message is never final: each of its occurrences is.
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
    """Return the page of these rows: rowid, id, is it old, may it go.

    A page without old rows is the last. The rows after it are younger, unless the clock was set back; those
    wait until they are old.
    """
    ids = [str(id_) for _, id_, old, may_go in rows if old and may_go]
    more = len(rows) == BATCH and any(old for _, _, old, _ in rows)
    return Page(ids, int(str(rows[-1][0])) if more else None)


# -- turns ---------------------------------------------------------------------


def unfinished_turns(connection: Connection) -> frozenset[str]:
    """Return the turns of acks that are not final, and those they continue: later turns are told of them."""
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
    """Return the keys of meta whose turn no ack names any more."""
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
    """Remove these keys."""
    connection.executemany("DELETE FROM meta WHERE key = ?", [(key,) for key in keys])
