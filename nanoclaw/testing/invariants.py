"""Invariants of a home: named checks that hold after any crash. Embedders may add their own.

    assert violations(Evidence(data, accepted=ids)) == []

A check reads and never writes. Those in `ALWAYS` may be asked of a living home as well; those in `AT_REST`
only once everything is answered and settled.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from contextvars import ContextVar
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import apsw
from attrs import field, frozen

from nanoclaw.records import Address, SessionPaths
from nanoclaw.store import Connection
from nanoclaw.store.engine.connections import open_readonly
from nanoclaw.store.session.deliveries import NOTICE
from nanoclaw.testing.error_summary import summary_of

BUSY_MS = 5000
E = TypeVar("E")
_kept: ContextVar[dict[Path, Connection] | None] = ContextVar("kept", default=None)


@frozen
class Asked:
    """One request to a channel: the key (`Outgoing.message_out_id`) and the address."""

    key: str
    address: Address


@frozen
class Evidence:
    """A home, with the confirmations and delivery requests observed outside of it."""

    data: Path
    accepted: tuple[str, ...] = ()
    """The ids (`InboundEvent.message_id`) of all confirmed messages."""
    asked: tuple[Asked, ...] = field(default=(), repr=False)
    """All requests to deliver that channels got, in order, over all runs of the host."""

    def sessions(self) -> Sequence[SessionPaths]:
        """Return the sessions that have files."""
        return [SessionPaths(file.parents[1]) for file in sorted(self.data.glob("sessions/*/*/inbound/*.db"))]


Invariant = Callable[[Evidence], Iterable[str]]
"""Returns a sentence for each violation, with the name of the session or file."""


def violations(evidence: Evidence, invariants: Iterable[Invariant] | None = None) -> list[str]:
    """Return the sentences of the checks (default: `ALWAYS` and `AT_REST`), each with its check's name."""
    checks = (*ALWAYS, *AT_REST) if invariants is None else invariants
    return [f"{name_of(check)}: {found}" for check in checks for found in sentences(check, evidence)]


def sentences(check: Callable[[E], Iterable[str]], evidence: E) -> Iterator[str]:
    """Yield the violations that a check finds. An unreadable file or an error in the check counts as one."""
    try:
        yield from _sentences(check(evidence))
    except apsw.Error as error:
        yield f"a file cannot be read: {error!r}"
    except Exception as error:  # noqa: BLE001 -- embedders write their own
        yield f"the check itself is broken: {summary_of(error)}"


def _sentences(found: object) -> Iterable[str]:
    if isinstance(found, str) or not isinstance(found, Iterable):
        raise TypeError(f"it returned {found!r:.200}, and has to return or yield sentences")
    return found


def name_of(check: Callable[..., object]) -> str:
    """Return a check's name; of a partial one, that of the function in it."""
    return str(getattr(getattr(check, "func", check), "__name__", type(check).__name__))


SENT_TEXT = "coalesce(json_extract(content, '$.markdown'), json_extract(content, '$.text'))"
"""The text of a row of `messages_out` in SQL."""


def rows(file: Path, sql: str, **values: Any) -> list[tuple[Any, ...]]:
    """Return the rows of a query in a database, which is opened read-only.

    Raises:
        apsw.Error: it cannot be read.
    """
    kept = _kept.get()
    if kept is not None:
        if file not in kept:
            kept[file] = _connect(file)
        return kept[file].execute(sql, values).fetchall()
    with closing(_connect(file)) as connection:
        return connection.execute(sql, values).fetchall()


def _connect(file: Path) -> Connection:
    connection = open_readonly(file)
    connection.set_busy_timeout(BUSY_MS)
    return connection


@contextmanager
def opened_once() -> Iterator[None]:
    """Let `rows` open each file only once while the block runs. No file may be replaced during the block."""
    kept = dict[Path, Connection]()
    token = _kept.set(kept)
    try:
        yield
    finally:
        _kept.reset(token)
        for connection in kept.values():
            connection.close()


# -- files ---------------------------------------------------------------------


def databases_are_intact(evidence: Evidence) -> Iterator[str]:
    """SQLite's own check finds nothing in any database."""
    files = [evidence.data / "v2.db"]
    files += [file for paths in evidence.sessions() for file in (paths.inbound_db, paths.outbound_db)]
    for file in files:
        if file.exists() and (found := rows(file, "PRAGMA integrity_check")) != [("ok",)]:
            yield f"{file}: {found[:3]}"


# -- sequence numbers ----------------------------------------------------------


def numbers_keep_their_parity_and_grow(evidence: Evidence) -> Iterator[str]:
    """The host's numbers are even, the runner's odd. Each is higher than the one before."""
    for paths in evidence.sessions():
        for file, table, odd in (
            (paths.inbound_db, "messages_in", 0),
            (paths.outbound_db, "messages_out", 1),
        ):
            given = [seq for (seq,) in _rows(file, f"SELECT seq FROM {table} ORDER BY rowid")]  # noqa: S608 -- ours
            if wrong := [seq for seq in given if not isinstance(seq, int) or seq < 1 or seq % 2 != odd]:
                yield f"{file}: {wrong[:3]} of the wrong parity"
            elif any(before >= after for before, after in pairwise(given)):
                yield f"{file}: the numbers do not grow: {given}"


def marks_are_above_what_was_given(evidence: Evidence) -> Iterator[str]:
    """The marks are at least as high as every number in use, so pruning never causes reuse."""
    for paths in evidence.sessions():
        for file, table in ((paths.inbound_db, "messages_in"), (paths.outbound_db, "messages_out")):
            [(given,)] = _rows(file, f"SELECT max(seq) FROM {table}") or [(None,)]  # noqa: S608 -- ours
            marks = _rows(file, "SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'seq'")
            if given is not None and (not marks or marks[0][0] < given):
                yield f"{file}: the mark is {marks}, below {given}"


# -- messages ------------------------------------------------------------------


def accepted_messages_are_stored(evidence: Evidence) -> Iterator[str]:
    """A confirmed message is stored in a session or parked for one."""
    stored = {id_ for paths in evidence.sessions() for id_, _ in _statuses(paths)}
    lost = [id_ for id_ in evidence.accepted if id_ not in stored]
    if lost and not _rows(evidence.data / "v2.db", "SELECT 1 FROM parked_events"):
        yield f"accepted, and nowhere: {', '.join(lost)}"


def accepted_messages_have_an_outcome(evidence: Evidence) -> Iterator[str]:
    """At rest only context messages are pending."""
    sql = "SELECT id, status FROM messages_in WHERE trigger"
    for paths in evidence.sessions():
        for id_, status in _rows(paths.inbound_db, sql):
            if id_ in evidence.accepted and status not in {"completed", "failed"}:
                yield f"{paths.root.name}: {id_} is {status}"


def no_message_is_answered_by_two_turns(evidence: Evidence) -> Iterator[str]:
    """Only one turn answers a message: its final text and its acks are one transaction.

    A tool that sends to an agent names that agent's message, too. Such a row does not count if its turn was
    interrupted: it was sent before the end.
    """
    sql = """
        SELECT in_reply_to, count(DISTINCT turn_id) AS turns FROM messages_out
        WHERE in_reply_to IS NOT NULL AND (channel_type IS NOT 'agent' OR turn_id IN (
          SELECT json_extract(data, '$.turn_id') FROM events
          WHERE kind = 'turn ended' AND json_extract(data, '$.status') = 'completed'
        ))
        GROUP BY in_reply_to HAVING turns > 1
        """
    for paths in evidence.sessions():
        for id_, turns in _rows(paths.outbound_db, sql):
            yield f"{paths.root.name}: {turns} turns answered {id_}"


# -- the ledger ----------------------------------------------------------------


def ledger_agrees_with_itself(evidence: Evidence) -> Iterator[str]:
    """`delivered` has exactly the final rows of `deliveries`; none is delivered without an attempt.

    An action has no attempts: the transaction that performs it makes it final.
    """
    sql = """
        SELECT message_out_id, d.status, f.status, attempts
        FROM deliveries d FULL JOIN delivered f USING (message_out_id)
        WHERE (d.status IS 'final') <> (f.status IS NOT NULL) OR (f.status = 'delivered' AND attempts < 1)
          OR coalesce(f.status, 'failed') NOT IN ('delivered', 'failed')
        """
    actions_of = "SELECT id FROM messages_out WHERE kind = 'system'"
    for paths in evidence.sessions():
        odd = _rows(paths.inbound_db, sql)  # first: a living runner only adds
        actions = {id_ for (id_,) in _rows(paths.outbound_db, actions_of)}
        for id_, status, outcome, attempts in odd:
            if not (id_ in actions and (status, outcome) == ("final", "delivered")):
                yield f"{paths.root.name}: {id_} is {status} after {attempts} attempts, its outcome {outcome}"


def attempts_are_recorded_before_the_channel_is_asked(evidence: Evidence) -> Iterator[str]:
    """Each request to a channel is recorded as an attempt."""
    asked = Counter(one.key for one in evidence.asked)
    known = {id_: n for paths in evidence.sessions() for id_, n in _attempts(paths)}
    for key, times in asked.items():
        if times > known.get(key, 0):
            yield f"{key} was sent {times} times, but {known.get(key, 0)} attempts are recorded"


def replies_are_final(evidence: Evidence) -> Iterator[str]:
    """At rest every outbound row has a final outcome in the ledger."""
    for paths in evidence.sessions():
        final = {id_ for (id_,) in _rows(paths.inbound_db, "SELECT message_out_id FROM delivered")}
        later = "SELECT id FROM messages_out WHERE deliver_after IS NULL AND recurrence IS NULL"
        for (id_,) in _rows(paths.outbound_db, later):
            if id_ not in final:
                yield f"{paths.root.name}: {id_} has no outcome"


def replies_keep_their_order(evidence: Evidence) -> Iterator[str]:
    """An address gets a session's rows in the order of `seq`, each one after the previous one is final.

    If a runner lags behind, a row of the host may have a higher number than a later row of the runner.
    """
    first = {one.key: n for n, one in reversed(list(enumerate(evidence.asked)))}
    last = {one.key: n for n, one in enumerate(evidence.asked)}
    where = {one.key: one.address for one in evidence.asked}
    for paths in evidence.sessions():
        deferred = "SELECT id FROM messages_out WHERE deliver_after IS NOT NULL"
        free = {id_ for (id_,) in _rows(paths.outbound_db, deferred)}
        ledger = _rows(paths.inbound_db, "SELECT message_out_id, seq FROM deliveries ORDER BY seq, rowid")
        latest: dict[Address, tuple[int, int, str]] = {}
        for key, seq in ledger:
            if key not in first or key in free or "@" in key:
                continue
            before = latest.get(where[key])
            if before and before[0] > first[key] and before[1] < seq:
                yield f"{paths.root.name}: {key} ({seq}) came before {before[2]} ({before[1]})"
            own = key.startswith(NOTICE)
            latest[where[key]] = max(before or (-1, 0, ""), ((first if own else last)[key], seq, key))


# -- tasks ---------------------------------------------------------------------


def slots_are_unique(evidence: Evidence) -> Iterator[str]:
    """A slot of a series has one row."""
    sql = """
        SELECT series_id, slot, count(*) AS n FROM messages_in
        WHERE series_id IS NOT NULL AND slot IS NOT NULL GROUP BY series_id, slot HAVING n > 1
        """
    for paths in evidence.sessions():
        for series, slot, n in _rows(paths.inbound_db, sql):
            yield f"{paths.root.name}: {series} has {n} rows for {slot}"


def series_go_on_or_have_ended(evidence: Evidence) -> Iterator[str]:
    """The end of an occurrence and its successor are one transaction: one open row carries the recurrence.

    That row has the latest slot, unless the date was set back before the row was stored.
    """
    sql = """
        SELECT series_id, count(*) FILTER (WHERE recurrence IS NOT NULL) AS carriers,
          count(*) FILTER (WHERE recurrence IS NOT NULL AND status NOT IN ('pending', 'paused')) AS ended,
          max(slot) FILTER (WHERE recurrence IS NOT NULL) < max(slot)
            AND max(timestamp) FILTER (WHERE recurrence IS NOT NULL) >= max(timestamp) AS behind
        FROM messages_in WHERE kind = 'task' GROUP BY series_id HAVING carriers > 1 OR ended OR behind
        """
    for paths in evidence.sessions():
        for series, carriers, ended, behind in _rows(paths.inbound_db, sql):
            yield f"{paths.root.name}: {series}: {carriers} rows recur, {ended} ended, behind: {bool(behind)}"


def _rows(file: Path, sql: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query, or none if the file is missing or incomplete."""
    if not file.exists() or not rows(file, "SELECT 1 FROM sqlite_schema"):
        return []
    return rows(file, sql)


def _statuses(paths: SessionPaths) -> list[tuple[Any, ...]]:
    return _rows(paths.inbound_db, "SELECT id, status FROM messages_in")


def _attempts(paths: SessionPaths) -> list[tuple[Any, ...]]:
    return _rows(paths.inbound_db, "SELECT message_out_id, attempts FROM deliveries")


ALWAYS: tuple[Invariant, ...] = (
    databases_are_intact,
    numbers_keep_their_parity_and_grow,
    marks_are_above_what_was_given,
    accepted_messages_are_stored,
    no_message_is_answered_by_two_turns,
    ledger_agrees_with_itself,
    attempts_are_recorded_before_the_channel_is_asked,
    slots_are_unique,
    series_go_on_or_have_ended,
)
AT_REST: tuple[Invariant, ...] = (
    accepted_messages_have_an_outcome,
    replies_are_final,
    replies_keep_their_order,
)
