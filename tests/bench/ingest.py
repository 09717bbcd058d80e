"""Messages accepted durably per second, into 1 and 20 sessions, beside an open-insert-close loop."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import perf_counter

import apsw
import trio
from attrs import frozen

from nanoclaw.host import Seams
from nanoclaw.records import Address
from nanoclaw.runtimes import Death, Runner, RunnerSpec
from nanoclaw.system.resources import schema_dir
from tests.bench.loads import event, more_chats
from tests.bench.wired import BenchHost, wired_host

MESSAGES = 400
LOOP = 60
ROUNDS = 5
SESSIONS = 20


def run() -> list[tuple[str, float, str]]:
    return trio.run(_measure)


@frozen
class NoRuntime:
    """A runtime that starts nothing: only accepting is measured."""

    name: str = "none"

    async def run(
        self, _spec: RunnerSpec, *, task_status: trio.TaskStatus[Runner] = trio.TASK_STATUS_IGNORED
    ) -> Death:
        del task_status  # it is never started
        await trio.sleep_forever()
        raise AssertionError

    def refusal(self, _provider: str) -> str | None:
        return None

    async def survivors(self) -> Sequence[str]:
        return ()

    async def recover(self, _spec: RunnerSpec) -> None: ...


async def _measure() -> list[tuple[str, float, str]]:
    one, twenty, loop = list[float](), list[float](), list[float]()
    async with wired_host(seams=Seams(runtime=NoRuntime())) as bench:
        chats = await more_chats(bench, SESSIONS)
        for n in range(ROUNDS):
            one.append(await _rate(bench, chats[:1], f"one-{n}"))
            twenty.append(await _rate(bench, chats, f"twenty-{n}"))
            loop.append(_open_insert_close())
    return [
        ("ingest_one", median(one), "1/s"),
        ("ingest_20", median(twenty), "1/s"),
        ("ingest_ratio", median(one) / median(loop), "x"),
    ]


async def _rate(bench: BenchHost, chats: list[Address], name: str) -> float:
    start = perf_counter()
    async with trio.open_nursery() as nursery:
        for n in range(MESSAGES):
            nursery.start_soon(bench.host.intake.offer, event(chats[n % len(chats)], f"{name}-{n}"))
    return MESSAGES / (perf_counter() - start)


def _open_insert_close() -> float:
    """Measure a host that opens the session's file for each message."""
    with tempfile.TemporaryDirectory(prefix="nanoclaw-bench-") as folder:
        path = str(Path(folder) / "inbound.db")
        connection = apsw.Connection(path)
        connection.execute((schema_dir() / "inbound" / "001-initial.sql").read_text()).fetchall()
        connection.close()
        start = perf_counter()
        for n in range(LOOP):
            _insert(path, n)
        return LOOP / (perf_counter() - start)


def _insert(path: str, n: int) -> None:
    connection = apsw.Connection(path)
    connection.execute("PRAGMA journal_mode = DELETE").fetchall()
    connection.execute("PRAGMA synchronous = EXTRA").fetchall()
    with connection:
        connection.execute("SELECT max(seq) FROM messages_in").fetchall()
        connection.execute(
            "INSERT INTO messages_in (id, seq, kind, timestamp, platform_id, channel_type, content) "
            "VALUES (?, ?, 'chat', '2026-01-01T00:00:00.000Z', 'chat', 'bench', '{}')",
            (f"in-{n}", n * 2),
        )
    connection.close()
