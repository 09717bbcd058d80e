"""Lateness of 200 tasks: 10 in each of 20 sessions with warm runners, due in the same second.

Schedules know whole seconds, so all tasks are due at the same time. A second run spreads the times over the
second: 200 turns are more than two cores can commit in it.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from statistics import median, quantiles

import apsw
import trio

from nanoclaw.records import Address
from nanoclaw.system.clock import SystemClock
from tests.bench.loads import burst, event, more_chats
from tests.bench.wired import BenchHost, wired_host

SESSIONS = 20
TASKS = 10
AHEAD_S = 15.0
"""The time in which all tasks are scheduled."""
AFTER_S = 5.0


def run() -> list[tuple[str, float, str]]:
    together, spread = trio.run(_measure, 1), trio.run(_measure, 1000)
    return [
        ("task_lateness_p50", median(together), "ms"),
        ("task_lateness_p99", quantiles(together, n=100)[-1], "ms"),
        ("task_lateness_spread_p99", quantiles(spread, n=100)[-1], "ms"),
    ]


async def _measure(spread_ms: int) -> list[float]:
    async with wired_host() as bench:
        chats = await more_chats(bench, SESSIONS)
        await burst(bench, [event(chat, f"warm-{n}") for n, chat in enumerate(chats)])
        due = SystemClock().now().replace(microsecond=0) + timedelta(seconds=AHEAD_S)
        await _schedule(bench, chats, due, spread_ms)
        left = (due - SystemClock().now()).total_seconds()
        if left < 1.0:
            raise RuntimeError(
                f"scheduling left {left:.1f} s of {AHEAD_S:g} s; measure on a less busy machine"
            )
        await trio.sleep(left + 1.0 + AFTER_S)
        lateness = [late for file in sorted(bench.home.glob("data/sessions/*/*")) for late in _lateness(file)]
    if len(lateness) != SESSIONS * TASKS:
        raise RuntimeError(f"{len(lateness)} of {SESSIONS * TASKS} tasks were claimed within {AFTER_S:g} s")
    return lateness


async def _schedule(bench: BenchHost, chats: list[Address], due: datetime, spread_ms: int) -> None:
    """Let the agents schedule the tasks, each at a random time within `spread_ms` after `due`."""
    random = Random(1)
    for n in range(TASKS):
        events = []
        for m, chat in enumerate(chats):
            moment = due + timedelta(milliseconds=random.randrange(spread_ms))
            arguments = json.dumps({"prompt": "p", "process_after": moment.isoformat()})
            events.append(event(chat, f"task-{n}-{m}", f"!schedule_task {arguments}"))
        await burst(bench, events)


def _lateness(session: Path) -> Iterator[float]:
    """Yield the milliseconds from due to the answer's date, which is after the claim's commit."""
    connection = apsw.Connection(str(session / "inbound/inbound.db"), apsw.SQLITE_OPEN_READONLY)
    connection.execute("ATTACH ? AS o", (str(session / "outbound/outbound.db"),))
    for slot, answered in connection.execute(
        """
        SELECT i.slot, a.timestamp FROM messages_in i JOIN o.messages_out a ON a.in_reply_to = i.id
        WHERE i.kind = 'task'
        """
    ):
        late = datetime.fromisoformat(str(answered)) - datetime.fromisoformat(str(slot)).astimezone(UTC)
        yield late.total_seconds() * 1e3
