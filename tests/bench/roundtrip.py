"""Round trips of a warm session, beside the bare commits (docs/performance.md, The floor)."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random
from statistics import median, quantiles

import apsw
import trio

from nanoclaw.system.resources import schema_dir
from tests.bench.wired import wired_host

MESSAGES = 80
PAUSE_S = (0.01, 0.08)


def run() -> list[tuple[str, float, str]]:
    return trio.run(_measure)


async def _measure() -> list[tuple[str, float, str]]:
    random = Random(1)
    trips, floors = list[float](), list[float]()
    async with wired_host() as bench:
        floor = Floor(bench.home / "floor")
        for _ in range(5):
            await bench.round_trip()
            floor.commit()
        for _ in range(MESSAGES):
            await trio.sleep(random.uniform(*PAUSE_S))
            trips.append(await bench.round_trip())
            await trio.sleep(random.uniform(*PAUSE_S))
            start = trio.current_time()
            floor.commit()
            floors.append(trio.current_time() - start)
    return [
        ("roundtrip_p50", median(trips) * 1e3, "ms"),
        ("roundtrip_p95", quantiles(trips, n=20)[-1] * 1e3, "ms"),
        ("roundtrip_floor_p50", median(floors) * 1e3, "ms"),
        ("roundtrip_floor_ratio", median(trips) / median(floors), "x"),
    ]


def _nothing(_outbound: apsw.Connection, _n: int) -> None:
    """Write nothing."""


class Floor:
    """The four commits of a round trip, with nothing around them.

    `also` writes what the outcome of such a turn has besides its answer.
    """

    def __init__(self, folder: Path, also: Callable[[apsw.Connection, int], None] = _nothing) -> None:
        folder.mkdir()
        self.also = also
        self.inbound = _open(folder / "inbound.db", "inbound")
        self.outbound = _open(folder / "outbound.db", "outbound")
        self.n = 0

    def commit(self) -> None:
        """Store the message, claim it, answer it, record the attempt."""
        self.n += 1
        now = "2026-01-01T00:00:00.000Z"
        name, out = f"in-{self.n:032d}", f"out-{self.n:016d}"
        with self.inbound:
            self.inbound.execute(
                "INSERT INTO messages_in (id, seq, kind, timestamp, platform_id, channel_type, content) "
                "VALUES (?, ?, 'chat', ?, 'chat', 'bench', ?)",
                (name, self.n * 2, now, '{"id": "e1", "text": "message", "sender": "User", "senderId": "u"}'),
            )
            self.inbound.execute("INSERT OR REPLACE INTO meta VALUES ('seq', ?)", (str(self.n * 2),))
        with self.outbound:
            self.outbound.execute(
                "INSERT INTO processing_ack VALUES (?, 'processing', ?, 0, NULL, NULL, 't')", (name, now)
            )
            self.outbound.execute("INSERT INTO events (at, kind) VALUES (?, 'turn started')", (now,))
        with self.outbound:
            self.outbound.execute(
                "INSERT INTO messages_out (id, seq, in_reply_to, timestamp, kind, platform_id, channel_type, "
                "content, turn_id) VALUES (?, ?, ?, ?, 'chat', 'chat', 'bench', ?, 't')",
                (out, self.n * 2 + 1, name, now, '{"text": "echo: message"}'),
            )
            self.outbound.execute("INSERT OR REPLACE INTO meta VALUES ('seq', ?)", (str(self.n * 2 + 1),))
            self.outbound.execute(
                "UPDATE processing_ack SET status = 'completed' WHERE message_id = ?", (name,)
            )
            self.also(self.outbound, self.n)
            self.outbound.execute("INSERT INTO events (at, kind) VALUES (?, 'turn ended')", (now,))
        with self.inbound:
            self.inbound.execute("UPDATE messages_in SET status = 'completed' WHERE id = ?", (name,))
            self.inbound.execute(
                "INSERT INTO deliveries (message_out_id, seq, status, attempts, started_at) "
                "VALUES (?, ?, 'sending', 1, ?)",
                (out, self.n * 2 + 1, now),
            )
            self.inbound.execute(
                "INSERT OR REPLACE INTO meta VALUES ('outbound_seq', ?)", (str(self.n * 2 + 1),)
            )


def _open(path: Path, schema: str) -> apsw.Connection:
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA journal_mode = DELETE").fetchall()
    connection.execute("PRAGMA synchronous = EXTRA").fetchall()
    with closing(connection.execute((schema_dir() / schema / "001-initial.sql").read_text())) as cursor:
        cursor.fetchall()
    return connection
