"""Reading `outbound.db`, every value of which a hostile container may have written (contract 6).

What is not of the contract's types becomes a `BadRow` with its reason; the next row is read all the same.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Literal, get_args

import apsw
from attrs import frozen

from nanoclaw.records import Address
from nanoclaw.store.messages_in import json_array
from nanoclaw.store.names import is_component
from nanoclaw.store.times import from_text

AckStatus = Literal["processing", "completed", "failed", "released"]

BATCH = 200
"""Rows of `messages_out` taken at a look."""
LOOK_BYTES = 32 * 1024 * 1024
"""A look that holds more than this of content ends."""
MAX_TEXT = 40 << 20
"""Bytes of a text; the guard's bound on what SQLite may hold at once is above it."""
MAX_ERROR = 500
"""Characters of a runner's reason that are kept."""


@frozen
class MessageOut:
    """A row the agent sent. No address: the session's own."""

    id: str
    seq: int
    kind: str
    address: Address | None
    content: str
    in_reply_to: str | None
    deliver_after: datetime | None
    recurrence: str | None = None


@frozen
class BadRow:
    """A row that is not of the contract's types; `id` is made up where the row's own cannot be used."""

    id: str
    seq: int
    reason: str


@frozen
class Ack:
    """What the runner says of a message. `attempt` None: the current one (a foreign runner)."""

    message_id: str
    status: AckStatus
    attempt: int | None
    retry_at: datetime | None
    error: str | None


@frozen
class Look:
    """One consistent look: new rows, the acks of open messages, the declared time-out of a tool (seconds)."""

    rows: tuple[MessageOut | BadRow, ...]
    known: tuple[MessageOut | BadRow, ...]
    """Rows of the ledger that were asked for again, after a restart."""
    acks: tuple[Ack, ...]
    tool_timeout_s: float
    known_cut: bool = False
    """Whether the look was full before all of the known rows; then `known` ends before them."""
    more: bool = False
    """Whether there may be more to read at once."""
    outdated: bool = False
    """Another build's file: nothing was read, for the runner has to bring it up to date first."""


def look(
    connection: apsw.Connection, *, above: int, up_to: int, open_ids: Sequence[str], known_ids: Sequence[str]
) -> Look:
    """All that the session has to know, in one read transaction; independent of the length of history.

    It stops at `BATCH` rows or `LOOK_BYTES`: a container cannot fill the host's memory. Known rows come
    first, so that their order is kept.
    """
    if connection.execute("PRAGMA user_version").get == 0:
        return Look((), (), (), 0.0, outdated=True)
    known, known_cut = _full(_by_id(connection, known_ids) if known_ids else ())
    rows, cut = _full(() if known_cut else _new_rows(connection, above, up_to))
    return Look(
        rows=rows,
        known=known,
        acks=tuple(_acks(connection, open_ids)),
        tool_timeout_s=_tool_timeout(connection),
        known_cut=known_cut,
        more=known_cut or cut or len(rows) == BATCH,
    )


def _full(rows: Iterable[MessageOut | BadRow]) -> tuple[tuple[MessageOut | BadRow, ...], bool]:
    """As many rows as one look may hold, and whether that cut some off; always one, or it would never end."""
    taken, size = list[MessageOut | BadRow](), 0
    for row in rows:
        taken.append(row)
        size += len(row.content) if isinstance(row, MessageOut) else 0
        if size > LOOK_BYTES:
            return tuple(taken), True
    return tuple(taken), False


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
)
# As bytes, and of one that is too long its length: otherwise one such value would end the whole look.
_COLUMNS = ", ".join(
    [
        "seq",
        *(
            f"iif(octet_length({name}) > {MAX_TEXT}, octet_length({name}), CAST({name} AS BLOB))"
            for name in _TEXTS
        ),
    ]
)


def _new_rows(connection: apsw.Connection, above: int, up_to: int) -> Iterator[MessageOut | BadRow]:
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM messages_out WHERE seq > ? AND seq <= ? AND typeof(seq) = 'integer' "  # noqa: S608 -- constants of this module
        f"ORDER BY seq LIMIT {BATCH}",
        (above, up_to),
    )
    return map(_message, rows)


def _by_id(connection: apsw.Connection, ids: Sequence[str]) -> Iterator[MessageOut | BadRow]:
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM messages_out WHERE id IN (SELECT value FROM json_each(?)) ORDER BY seq",  # noqa: S608 -- constants of this module
        (json_array(ids),),
    )
    return map(_message, rows)


def _message(row: tuple[object, ...]) -> MessageOut | BadRow:
    seq = row[0] if isinstance(row[0], int) else 0
    try:
        values = dict(zip(_TEXTS, map(_decoded, row[1:]), strict=True))
        return _checked(seq, values)
    except UnicodeDecodeError as error:
        return BadRow(f"bad-{seq}", seq, f"a text is not UTF-8: {error.reason}")
    except ValueError as error:
        return BadRow(f"bad-{seq}", seq, str(error))


def _decoded(value: object) -> str | None:
    if isinstance(value, int):
        raise ValueError(f"a text of {value:,} bytes is longer than {MAX_TEXT:,}; send it as a file")  # noqa: TRY004 -- of the row, not of us
    return value.decode("utf-8") if isinstance(value, bytes) else None


def _checked(seq: int, values: Mapping[str, str | None]) -> MessageOut:
    """The row, if it keeps the contract; raises ValueError with the reason if it does not."""
    id_, kind, content = (values[name] or "" for name in ("id", "kind", "content"))
    if not is_component(id_) or id_.startswith("notice-"):
        raise ValueError(f"id {id_[:80]!r} is no name for a row (contract 1)")
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
    )


def _acks(connection: apsw.Connection, open_ids: Sequence[str]) -> list[Ack]:
    rows = connection.execute(
        """
        SELECT CAST(message_id AS BLOB), CAST(status AS BLOB), attempt, CAST(retry_at AS BLOB),
          CAST(error AS BLOB)
        FROM processing_ack WHERE message_id IN (SELECT value FROM json_each(?))
        """,
        (json_array(open_ids),),
    )
    return [ack for row in rows if (ack := _ack(row)) is not None]


def _ack(row: tuple[object, ...]) -> Ack | None:
    """An ack, or None where it is not of the contract's types: then the message counts as not acked."""
    *texts, attempt, retry_at, error = row
    try:
        message_id, status = (_decoded(value) or "" for value in texts)
    except UnicodeDecodeError:
        return None
    if status not in get_args(AckStatus):
        return None
    return Ack(
        message_id,
        status,  # type: ignore[arg-type]  # checked against the Literal above
        attempt if isinstance(attempt, int) else None,
        _time(retry_at),
        error.decode("utf-8", "replace")[:MAX_ERROR] if isinstance(error, bytes) else None,
    )


def _time(value: object) -> datetime | None:
    try:
        return from_text(value.decode("utf-8")) if isinstance(value, bytes) else None
    except ValueError:
        return None


def _tool_timeout(connection: apsw.Connection) -> float:
    row = connection.execute("SELECT tool_declared_timeout_ms FROM container_state LIMIT 1").fetchone()
    return row[0] / 1000 if row and isinstance(row[0], int) and row[0] > 0 else 0.0
