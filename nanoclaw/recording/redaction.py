"""Redaction of recordings: each text of a person or agent is replaced by as many `x`.

Names, ids, addresses, reasons, schedules and button labels stay, because the host decides by them. A trigger
pattern does not match a redacted text, and the text names no option of a question. So a replay may differ
there.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import apsw
from attrs import evolve

from nanoclaw.recording.notes import Asked, Looked, Note, Offered, RunnerEnded, RunnerRefused
from nanoclaw.records import Event, InboundEvent, SdkMessage, Webhook
from nanoclaw.store import Connection
from nanoclaw.store.engine.connections import open_writable

WORDS = frozenset(
    {"text", "markdown", "prompt", "script", "scriptOutput", "fallbackText", "title", "question", "formatted"}
)
"""Keys of contents (contract 5) whose values are redacted."""
OPAQUE = frozenset({"card", "payload", "links", "metadata"})
"""Keys of values of an unknown shape, all of which may be text."""
_COLUMNS = {
    "messages_in": ("content",),
    "messages_out": ("content",),
    "session_state": ("value",),
    "events": ("data",),
    "parked_events": ("event",),
    "pending_approvals": ("payload", "title", "options_json", "text", "note", "outcome"),
    "pending_questions": ("title", "options_json", "question", "chosen_json"),
    "closed_questions": ("answer", "card"),
}
_CONFINED = (
    (apsw.SQLITE_DBCONFIG_DEFENSIVE, 1),
    (apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0),
    (apsw.SQLITE_DBCONFIG_ENABLE_VIEW, 0),
    (apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0),
)
"""Settings for opening a copy of an agent's database, which may hold anything."""


def whole(note: Note) -> Note:
    """Return the note as it is."""
    return note


def redacted(note: Note) -> Note:
    """Return the note with its texts redacted."""
    match note:
        case Offered():
            return evolve(note, event=_event_without(note.event))
        case Asked():
            return evolve(note, content=_without(note.content))
        case Looked():
            rows = tuple(evolve(row, content=without_words(row.content)) for row in note.rows)
            acks = tuple(evolve(ack, error=ack.error and crossed_out(ack.error)) for ack in note.acks)
            return evolve(note, rows=rows, acks=acks)
        case RunnerEnded() | RunnerRefused():  # further lines are the runner's last output
            return evolve(note, reason=note.reason.partition("\n")[0])
        case _:
            return note


def _event_without(event: Event) -> Event:
    match event:
        case InboundEvent(message=message):
            reply = message.reply_to and evolve(message.reply_to, text=crossed_out(message.reply_to.text))
            return evolve(event, message=evolve(message, text=crossed_out(message.text), reply_to=reply))
        case SdkMessage():
            return evolve(event, content=_without(event.content))
        case Webhook():
            return evolve(event, payload={})
        case _:
            return event


def crossed_out(text: str) -> str:
    """Return an `x` for each character."""
    return "x" * len(text)


def without_words(content: str) -> str:
    """Return a JSON content with its texts redacted. Anything else than JSON is redacted as a whole."""
    try:
        return json.dumps(_without(json.loads(content)), ensure_ascii=False)
    except (ValueError, RecursionError):
        return crossed_out(content)


def _without(value: Any) -> Any:
    match value:
        case Mapping():
            return {key: _item_without(key, item) for key, item in value.items()}
        case list() | tuple():
            return [_without(item) for item in value]
        case _:
            return value


def _item_without(key: object, item: Any) -> Any:
    if key in OPAQUE:
        return "{}" if isinstance(item, str) else {}
    if key in WORDS and isinstance(item, Mapping | list):  # the chat library's formatted text
        return {}
    return crossed_out(item) if key in WORDS and isinstance(item, str) else _without(item)


def cross_out_file(database: Path) -> None:
    """Redact a copy of a database in place. Data that was deleted before is removed, too.

    Raises:
        apsw.Error: the file is not a readable database.
    """
    connection = open_writable(database)
    try:
        for option, value in _CONFINED:
            connection.config(option, value)
        connection.create_scalar_function("without_words", _text_without, 1, deterministic=True)
        connection.execute("PRAGMA journal_mode = DELETE").fetchall()
        for table, columns in _COLUMNS.items():
            _cross_out(connection, table, columns)
        connection.limit(apsw.SQLITE_LIMIT_ATTACHED, 1)  # VACUUM attaches a file of its own
        connection.execute("VACUUM")
    finally:
        connection.close()


def _text_without(*values: "apsw.SQLiteValue") -> str | None:
    return without_words(values[0]) if isinstance(values[0], str) else None


def _cross_out(connection: Connection, table: str, columns: tuple[str, ...]) -> None:
    there = {row[0] for row in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))}
    for column in columns:
        if column in there:
            connection.execute(
                f"UPDATE {table} SET {column} = without_words({column}) WHERE {column} IS NOT NULL"  # noqa: S608 -- constants of this module
            )
