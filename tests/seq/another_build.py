"""A session as another build left it (contract 2): no marks, no series, and no ids of delivered messages."""

from contextlib import closing
from pathlib import Path

import apsw

from tests.seq.host_steps import CHATS
from tests.seq.model import Side, Stored
from tests.seq.play import Play

INBOUND = """
CREATE TABLE messages_in (
  id TEXT PRIMARY KEY, seq INTEGER UNIQUE, kind TEXT NOT NULL, timestamp TEXT NOT NULL,
  status TEXT DEFAULT 'pending', process_after TEXT, recurrence TEXT, tries INTEGER DEFAULT 0,
  platform_id TEXT, channel_type TEXT, thread_id TEXT, content TEXT NOT NULL);
CREATE TABLE delivered (message_out_id TEXT PRIMARY KEY, delivered_at TEXT NOT NULL);
"""
OUTBOUND = """
CREATE TABLE messages_out (
  id TEXT PRIMARY KEY, seq INTEGER UNIQUE, in_reply_to TEXT, timestamp TEXT NOT NULL, deliver_after TEXT,
  recurrence TEXT, kind TEXT NOT NULL, platform_id TEXT, channel_type TEXT, thread_id TEXT,
  content TEXT NOT NULL);
CREATE TABLE processing_ack (
  message_id TEXT PRIMARY KEY, status TEXT NOT NULL, status_changed TEXT NOT NULL);
CREATE TABLE session_state (key TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
LONG_AGO = "2025-01-01 00:00:00"


def leave_files(play: Play) -> None:
    """Create some messages, most of them finished, and some answers, most of them delivered."""
    _build(play, play.numbers.inbound, INBOUND)
    _build(play, play.numbers.outbound, OUTBOUND)
    for row in play.numbers.outbound.present.values():
        if play.random.random() < 0.8:
            play.numbers.outcomes[row.id] = None
            _execute(play.host.file, "INSERT INTO delivered VALUES (?, ?)", row.id, LONG_AGO)


def _build(play: Play, side: Side, schema: str) -> None:
    side.file.parent.mkdir(parents=True)
    _execute(side.file, schema)
    for _ in range(play.random.randint(1, 5)):
        seq = side.next_above(side.top) + 2 * play.random.randrange(4)
        known_as = f"p-{seq}"
        row = play.numbers.messages[f"theirs-{seq}"] = Stored(f"theirs-{seq}", CHATS[0], known_as)
        side.present[seq], side.given[seq], side.mark = row, row.id, seq
        status = "" if side.odd else ", status"
        _execute(
            side.file,
            f"""
            INSERT INTO {side.table} (id, seq, kind, timestamp, channel_type, platform_id, content{status})
            VALUES (?, ?, 'chat', ?, 'tg', 'chat-1', ?{", ?" if status else ""})
            """,  # noqa: S608 -- constants of these tests
            *(row.id, seq, LONG_AGO, f'{{"id": "{known_as}", "text": "x"}}'),
            *([play.random.choice(["completed", "completed", "completed", "pending"])] if status else []),
        )


def _execute(file: Path, sql: str, *values: str | int) -> None:
    with closing(apsw.Connection(str(file))) as connection:
        connection.execute("PRAGMA synchronous = OFF").fetchall()
        connection.execute(sql, values or None).fetchall()
