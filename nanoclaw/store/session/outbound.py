"""Reads `outbound.db`. A hostile container may have written every value in it (contract 6).

A row that violates the contract becomes an `InvalidRow` with the reason, and the next row is still read.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Literal, get_args

import apsw
from attrs import evolve, frozen

from nanoclaw.records import Address
from nanoclaw.store.engine.migrations import tables_of
from nanoclaw.store.engine.names import is_component
from nanoclaw.store.engine.times import from_text
from nanoclaw.store.session.deliveries import NOTICE
from nanoclaw.store.session.messages_in import PLAUSIBLE_LEAD, json_array
from nanoclaw.store.session.outbound_tables import SEED_TABLES, OutboundTables

AckStatus = Literal["processing", "completed", "failed", "released"]
RunnerKind = Literal["ours", "foreign"]
"""The runner that writes a file. Acks of a foreign one name no attempt."""

BATCH = 200
"""Rows of `messages_out` read in one look."""
LOOK_BYTES = 32 * 1024 * 1024
"""A look ends once it holds more than this many bytes of content."""
MAX_TEXT = 40 << 20
"""Bytes of one content. The guard's limit for a row is higher."""
MAX_NAME = 4096
"""Bytes of any other text."""
BAD = "bad-"
"""Prefix of replacement ids, for rows with an invalid id. The sequence number follows."""
MAX_SEQ = 1 << 48
"""Sequence numbers from here on are implausible for any runner."""
MAX_ERROR = 500
"""Characters of a runner's error that are kept."""


@frozen
class MessageOut:
    """A row that the agent sent. `address` None means the session's own chat."""

    id: str
    seq: int
    kind: str
    address: Address | None
    content: str
    in_reply_to: str | None
    deliver_after: datetime | None
    recurrence: str | None = None
    written_at: datetime | None = None
    """When the agent wrote it; None if its timestamp cannot be read."""
    awaited: bool = True
    """True if a turn wrote it, and so may wait for its answer. Foreign runners have no turns."""


@frozen
class InvalidRow:
    """A row that violates the contract. `id` is a replacement if the row's own id is invalid."""

    id: str
    seq: int
    reason: str
    in_reply_to: str | None = None
    """The message that it answers, if that can be read."""


@frozen
class Ack:
    """The runner's ack of a message. `attempt` None means the current one (a foreign runner)."""

    message_id: str
    status: AckStatus
    attempt: int | None
    retry_at: datetime | None
    error: str | None
    changed: str | None = None
    """The text of `status_changed`. A different text means a different claim."""
    turn: str | None = None
    """The id of the turn; None if the runner names none."""


@frozen
class Look:
    """One consistent read: new rows, acks of open messages, the declared timeout of a tool in seconds."""

    rows: tuple[MessageOut | InvalidRow, ...]
    known: tuple[MessageOut | InvalidRow, ...]
    """Ledger rows that were read again after a restart, with the ids that were asked for."""
    acks: tuple[Ack, ...]
    tool_timeout_s: float
    looked_for: tuple[str, ...] = ()
    """Ids of the ledger rows that were searched. Those not in `known` no longer exist."""
    ignored: str | None = None
    """Description of a row or ack that the host ignores, as an example; None if there is none."""
    more: bool = False
    """True if more rows may be waiting, so the next look should follow at once."""
    outdated: bool = False
    """True for a file without tables. Nothing was read: the runner must migrate it first."""
    runner: RunnerKind | None = None
    """The runner that wrote the newest ack. None if there is no ack."""


def look(
    connection: apsw.Connection, *, above: int, up_to: int, open_ids: Sequence[str], known_ids: Sequence[str]
) -> Look:
    """Read all data that the session needs, in one transaction. The history's length does not matter.

    It stops at `BATCH` rows or `LOOK_BYTES`, so a container cannot fill the host's memory. Known rows are
    read first, which keeps their order.
    """
    file = OutboundTables.of(connection)
    if file is None:
        return Look((), (), (), 0.0, outdated=True)
    looked_for = list[str]()
    known, known_cut = _full(_by_id(file, known_ids, looked_for))
    rows, cut = _full(() if known_cut else _new_rows(file, above, up_to))
    acks, bad_ack = _acks(file, open_ids)
    return Look(
        rows=rows,
        known=known,
        acks=acks,
        tool_timeout_s=_tool_timeout(file),
        looked_for=tuple(looked_for),
        ignored=(_ignored(connection, above, up_to) if up_to > above else None) or bad_ack,
        more=known_cut or cut or len(rows) == BATCH,
        runner=_runner(file),
    )


def _full(rows: Iterable[MessageOut | InvalidRow]) -> tuple[tuple[MessageOut | InvalidRow, ...], bool]:
    """Return the rows that fit into one look, and whether some were cut off. It takes at least one row."""
    taken, size = list[MessageOut | InvalidRow](), 0
    for row in rows:
        taken.append(row)
        size += len(row.content) if isinstance(row, MessageOut) else 0
        if size > LOOK_BYTES:
            return tuple(taken), True
    return tuple(taken), False


@frozen
class Standing:
    """The state of an outbound file, to be compared with its inbound file."""

    newest: int = 0
    """The largest plausible sequence number that it knows, of a row or of the runner's mark."""
    complete: bool = True
    """True if every row that was ever written has a number up to `newest`. Not so in another build's file."""
    answered: tuple[str, ...] = ()
    """Ids of messages that are acked and answered by unread rows: at most `BATCH`."""


def standing(connection: apsw.Connection, above: int) -> Standing:
    """Return the state of the file. Rows above the sequence number `above` are unread."""
    if not tables_of(connection) >= SEED_TABLES:
        return Standing()
    ours = connection.execute("PRAGMA user_version").get != 0
    numbers = connection.execute("SELECT max(seq) FROM messages_out WHERE typeof(seq) = 'integer'").fetchall()
    if ours:
        numbers += connection.execute("SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'seq'").fetchall()
    plausible = [number for (number,) in numbers if isinstance(number, int) and 0 < number < MAX_SEQ]
    answered = connection.execute(
        f"""
        SELECT DISTINCT CAST({_brief("in_reply_to")} AS TEXT) FROM messages_out
        WHERE seq > :above AND typeof(seq) = 'integer'
          AND in_reply_to IN (SELECT message_id FROM processing_ack) LIMIT {BATCH}
        """,  # noqa: S608 -- constants of this module
        {"above": above},
    )
    ids = tuple(str(id_) for (id_,) in answered if id_)
    return Standing(max(plausible, default=0), ours, ids)


def invalid_row(seq: int, reason: str) -> InvalidRow:
    """Return the replacement for a row whose own id is invalid."""
    return InvalidRow(f"{BAD}{seq}", seq, reason)


def _ignored(connection: apsw.Connection, above: int, up_to: int) -> str | None:
    """Describe one row whose sequence number is never read, or return None."""
    rows = connection.execute(
        """
        SELECT typeof(seq), iif(typeof(seq) IN ('integer', 'real'), seq, NULL) FROM messages_out
        WHERE seq IS NULL OR seq <= 0 OR seq > :up_to OR (seq > :above AND typeof(seq) = 'real') LIMIT 1
        """,
        {"above": above, "up_to": up_to},
    ).fetchall()
    for type_, seq in rows:
        what = "a row without a number" if type_ == "null" else f"a row whose number is a {type_}"
        if isinstance(seq, int):
            lead = f"more than {PLAUSIBLE_LEAD:,} above the host's" if seq > 0 else "below 1"
            what = f"a row with the number {seq}, {lead}"
        return f"{what}, is not read"
    return None


_TEXTS: tuple[str, ...] = (
    "id",
    "kind",
    "channel_type",
    "platform_id",
    "thread_id",
    "content",
    "in_reply_to",
    "deliver_after",
    "recurrence",
    "timestamp",
    "turn_id",
)
# Texts are read as bytes. If one is too long, only its length is read: its value would fail the look.
_COLUMNS = ", ".join(
    [
        "seq",
        *(
            f"iif(octet_length({name}) > {bound}, octet_length({name}), CAST({name} AS BLOB))"
            for name in _TEXTS
            for bound in [MAX_TEXT if name == "content" else MAX_NAME]
        ),
    ]
)


def _new_rows(file: OutboundTables, above: int, up_to: int) -> Iterator[MessageOut | InvalidRow]:
    rows = file.connection.execute(
        file.sql(
            f"""
            SELECT {_COLUMNS} FROM messages_out
            WHERE seq > ? AND seq <= ? AND typeof(seq) = 'integer' ORDER BY seq LIMIT {BATCH}
            """  # noqa: S608 -- constants of this module
        ),
        (above, up_to),
    )
    return map(_message, rows)


def _by_id(
    file: OutboundTables, ids: Sequence[str], looked_for: list[str]
) -> Iterator[MessageOut | InvalidRow]:
    """Yield one row for each id, regardless of how many rows or which order the file claims."""
    for id_ in ids:
        looked_for.append(id_)
        rows = file.connection.execute(
            file.sql(f"SELECT {_COLUMNS} FROM messages_out WHERE id = ? LIMIT 1"),  # noqa: S608 -- constants of this module
            (id_,),
        ).fetchall()
        yield from (evolve(_message(row), id=id_) for row in rows)


def _message(row: tuple[object, ...]) -> MessageOut | InvalidRow:
    seq = row[0] if isinstance(row[0], int) else 0
    raw = dict(zip(_TEXTS, row[1:], strict=True))
    try:
        return _checked(seq, {name: _decoded(name, value) for name, value in raw.items()})
    except UnicodeDecodeError as error:
        reason = f"a text is not UTF-8: {error.reason}"
    except ValueError as error:
        reason = str(error)
    return evolve(invalid_row(seq, reason), in_reply_to=_answered(raw["in_reply_to"]))


def _answered(value: object) -> str | None:
    return value.decode("utf-8", "replace") or None if isinstance(value, bytes) else None


def _decoded(name: str, value: object) -> str | None:
    if isinstance(value, int):
        bound = f"{MAX_TEXT:,}; send it as a file" if name == "content" else f"{MAX_NAME:,}"
        raise ValueError(f"{name} has {value:,} bytes; the limit is {bound}")  # noqa: TRY004 -- of the row, not of us
    return value.decode("utf-8") if isinstance(value, bytes) else None


def _checked(seq: int, values: Mapping[str, str | None]) -> MessageOut:
    """Return the row. Raise ValueError with the reason if it violates the contract."""
    id_, kind, content = (values[name] or "" for name in ("id", "kind", "content"))
    if not is_component(id_) or id_.startswith((NOTICE, BAD)):
        raise ValueError(f"id {id_[:80]!r} is not a valid row id (contract 1)")
    if seq % 2 == 0:
        raise ValueError(f"the number {seq} is even; runners must use odd numbers (contract 4)")
    if not kind or not content:
        raise ValueError("kind or content is empty")
    deliver_after = values["deliver_after"]
    channel, platform = values["channel_type"], values["platform_id"]
    return MessageOut(
        id=id_,
        seq=seq,
        kind=kind,
        address=Address(channel, platform, values["thread_id"] or None) if channel and platform else None,
        content=content,
        in_reply_to=values["in_reply_to"] or None,
        deliver_after=from_text(deliver_after) if deliver_after else None,
        recurrence=values["recurrence"] or None,
        written_at=_time((values["timestamp"] or "").encode()),
        awaited=bool(values["turn_id"]),
    )


def _acks(file: OutboundTables, open_ids: Sequence[str]) -> tuple[tuple[Ack, ...], str | None]:
    """Return one ack for each message, and the description of an invalid ack if there is one."""
    rows = file.connection.execute(
        file.sql(f"""
        SELECT CAST(message_id AS BLOB), {_brief("status")},
          iif(typeof(attempt) = 'integer', attempt, NULL), {_brief("retry_at")}, {_brief("error")},
          {_brief("status_changed")}, {_brief("turn_id")}
        FROM processing_ack WHERE message_id IN (SELECT value FROM json_each(?))
        """),  # noqa: S608 -- constants of this module
        (json_array(open_ids),),
    )
    acks, bad = dict[str, Ack](), None
    for row in rows:
        ack = _ack(row)
        if isinstance(ack, Ack):
            acks.setdefault(ack.message_id, ack)
        else:
            bad = ack
    return tuple(acks.values()), bad


def _brief(name: str) -> str:
    return f"iif(octet_length({name}) > {MAX_NAME}, NULL, CAST({name} AS BLOB))"


def _ack(row: tuple[object, ...]) -> Ack | str:
    """Return the ack, or the reason why it is invalid. Its message then counts as not acked."""
    message_id, status, attempt, retry_at, error, changed, turn = row
    message_id, status, changed = (
        value.decode("utf-8", "replace") if isinstance(value, bytes) else ""
        for value in (message_id, status, changed)
    )
    kind, separator, _ = status.partition(":")
    if kind not in get_args(AckStatus) and not separator:
        return f"an ack of {message_id[:80]!r} with the unknown status {status[:80]!r} is not read"
    reason = error.decode("utf-8", "replace")[:MAX_ERROR] if isinstance(error, bytes) else None
    return Ack(
        message_id,
        kind if kind in get_args(AckStatus) else "failed",  # type: ignore[arg-type]  # as checked
        attempt if isinstance(attempt, int) else None,
        _time(retry_at),
        reason or (f"the agent reported {status[:80]!r}" if separator else None),
        changed,
        turn.decode("utf-8", "replace") if isinstance(turn, bytes) else None,
    )


def _runner(file: OutboundTables) -> RunnerKind | None:
    """Return the runner that wrote the newest ack. A hostile table may have no rowid."""
    if not file.names_attempts:
        any_ack = file.connection.execute("SELECT EXISTS (SELECT 1 FROM processing_ack)").get
        return "foreign" if any_ack else None
    try:
        newest = file.connection.execute(
            """
            SELECT attempt IS NULL FROM processing_ack
            WHERE rowid = (SELECT max(rowid) FROM processing_ack)
            """
        ).get
    except apsw.SQLError:
        return None
    return None if newest is None else ("foreign" if newest else "ours")


def _time(value: object) -> datetime | None:
    try:
        return from_text(value.decode("utf-8")) if isinstance(value, bytes) else None
    except ValueError:
        return None


def _tool_timeout(file: OutboundTables) -> float:
    row = file.connection.execute(
        file.sql("""
        SELECT tool_declared_timeout_ms FROM container_state
        WHERE typeof(tool_declared_timeout_ms) = 'integer' LIMIT 1
        """)
    ).fetchone()
    return row[0] / 1000 if row and row[0] > 0 else 0.0
