"""The conclusion about a session whose files do not belong together, in `meta` of `inbound.db`."""

import json
from datetime import datetime

import apsw
from attrs import frozen

from nanoclaw.store.engine.change_mark import OLDER, RESTORED, UNMARKED
from nanoclaw.store.engine.times import from_text, to_text
from nanoclaw.store.session.messages_in import json_array


@frozen
class Restored:
    """The conclusion about a session's files, and its time."""

    at: datetime
    conclusion: str


def read(connection: apsw.Connection) -> Restored | None:
    """Return the last conclusion, or None if there is none."""
    value = _value(connection)
    if value in {None, OLDER, UNMARKED}:
        return None
    try:
        found = json.loads(str(value))
        return Restored(from_text(found["at"]), str(found["conclusion"]))
    except (ValueError, KeyError, TypeError):
        return None


def judgement(connection: apsw.Connection) -> str | None:
    """Return `OLDER` or `UNMARKED` for a file that must be compared with `outbound.db`, else None."""
    value = _value(connection)
    return str(value) if value in {OLDER, UNMARKED} else None


def conclude(connection: apsw.Connection, restored: Restored | None) -> None:
    """Store a conclusion. None: the files belong together."""
    if restored is None:
        connection.execute("DELETE FROM meta WHERE key = ?", (RESTORED,))
        return
    value = json.dumps({"at": to_text(restored.at), "conclusion": restored.conclusion})
    connection.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (RESTORED, value))


def has_unknown(connection: apsw.Connection, message_ids: tuple[str, ...]) -> bool:
    """Return whether one of these messages is not in `messages_in`."""
    query = """
        SELECT EXISTS (SELECT 1 FROM json_each(:ids)
          WHERE NOT EXISTS (SELECT 1 FROM messages_in WHERE id = value))
        """
    return bool(connection.execute(query, {"ids": json_array(message_ids)}).get)


def _value(connection: apsw.Connection) -> object:
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (RESTORED,)).fetchone()
    return row[0] if row else None
