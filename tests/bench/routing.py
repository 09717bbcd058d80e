"""Decisions of the router: 1,000 chats, 5,000 users, 3 wirings each.

Measured is `Router.offer`, from the call to its return: checks, the plan (read from a real `v2.db`, or kept),
access, trigger rules, the choice of sessions. The sessions are a stand-in that accepts at once, so no
`inbound.db` is written. One event in `COMMIT_EVERY` comes after a commit to `v2.db` that makes all kept plans
stale. The commit itself is not measured. Senders and chats are known, so no event causes a commit.

`routing_cpu` is the processor time of a decision, with its share of the commits. It is comparable on a busy
machine.
"""

import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from time import perf_counter, process_time
from typing import Any, cast

import apsw
import structlog
import trio
from attrs import frozen

from nanoclaw.config import Config
from nanoclaw.config.costs import UNLIMITED
from nanoclaw.host import Host, Seams, open_host
from nanoclaw.logs import configure_logging
from nanoclaw.records import (
    Address,
    AgentGroup,
    ChatMessage,
    InboundEvent,
    MessagingGroup,
    Session,
    UnknownSenderPolicy,
    User,
    Wiring,
)
from nanoclaw.registry import UpdateUser
from nanoclaw.routing import Router
from nanoclaw.store import ThreadExecutor, own_central
from nanoclaw.store.central import agent_groups, messaging_groups, sessions, users, wirings
from nanoclaw.system.clock import SystemClock
from tests.bench.ingest import NoRuntime

CHATS, USERS, AGENTS, WIRINGS = 1_000, 5_000, 30, 3
IN_CHAT = 25
"""Users who write in one chat, as members of its agents. One chat in three is public, the others strict."""
EVENTS, COMMIT_EVERY = 10_000, 100
TASKS = 16
"""Offers at a time, for the rate."""
RULES: Sequence[dict[str, object]] = (
    {},
    {"pattern": r"\b(help|claw)\b"},
    {"mentionOnly": True, "sticky": True, "ignored": "accumulate"},
)
"""The rules of the three wirings of each chat."""
TEXTS = ("hello everybody", "claw, what is the weather?", "see you there " * 20)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def run() -> list[tuple[str, float, str]]:
    return trio.run(_measure)


async def _measure() -> list[tuple[str, float, str]]:
    async with _host() as host:
        before = process_time()
        took = sorted([await _timed(host, event, n) for n, event in enumerate(_events("one"))])
        cpu = process_time() - before
        rate = await _rate(host, list(_events("many")))
    return [
        ("routing_p50", 1000 * took[len(took) // 2], "ms"),
        ("routing_p99", 1000 * took[len(took) * 99 // 100], "ms"),
        ("routing_cpu", 1000 * cpu / EVENTS, "ms"),
        ("routing_rate", rate, "1/s"),
    ]


async def _timed(host: Host, event: InboundEvent, n: int) -> float:
    if n % COMMIT_EVERY == 0:
        await _commit(host, n)
    start = perf_counter()
    routed = await host.intake.offer(event)
    took = perf_counter() - start
    assert routed.session_ids
    return took


async def _rate(host: Host, events: list[InboundEvent]) -> float:
    """Return decisions per second of `TASKS` tasks together. The commits are part of it."""
    start = perf_counter()
    left = iter(list(enumerate(events)))

    async def offer() -> None:
        for n, event in left:
            if n % COMMIT_EVERY == 0:
                await _commit(host, n)
            await host.intake.offer(event)

    async with trio.open_nursery() as nursery:
        for _ in range(TASKS):
            nursery.start_soon(offer)
    return len(events) / (perf_counter() - start)


async def _commit(host: Host, n: int) -> None:
    await host.registry.ask(UpdateUser(_user(0), {"display_name": f"User {n}"}))


def _events(name: str) -> list[InboundEvent]:
    random = Random(name)
    return [_event(random, f"{name}-{n}") for n in range(EVENTS)]


def _event(random: Random, id_: str) -> InboundEvent:
    chat = random.randrange(CHATS)
    user = _user(random.choice(_in_chat(chat)))
    mentions = random.random() < 0.1
    message = ChatMessage(id_, random.choice(TEXTS), user, user, is_mention=mentions)
    return InboundEvent(Address("bench", f"chat-{chat}"), id_, message, is_group=True)


# -- the installation --------------------------------------------------------------


def _user(n: int) -> str:
    return f"bench:{n}"


def _in_chat(chat: int) -> Sequence[int]:
    """Return the users of a chat. Each writes in five."""
    return [1 + (chat * 5 + n * 199) % (USERS - 1) for n in range(IN_CHAT)]


@frozen
class NoSessions:
    """Sessions that accept each event at once."""

    async def accept(self, _conversation: object, _event: object, *, trigger: bool = True) -> bool:
        del trigger
        await trio.lowlevel.checkpoint()
        return True


@asynccontextmanager
async def _host() -> AsyncIterator[Host]:
    configure_logging("warning", human=False)
    structlog.contextvars.clear_contextvars()
    with tempfile.TemporaryDirectory(prefix="nanoclaw-bench-") as folder:
        home, executor = Path(folder), ThreadExecutor()
        async with own_central(
            home / "data", executor=executor, clock=SystemClock(), random=Random(1)
        ) as writer:
            await writer.run(_fill)
        config = Config(home, home / "data", home / "groups", timezone="UTC", budgets=UNLIMITED)
        async with open_host(config, seams=Seams(runtime=NoRuntime(), executor=executor)) as host:
            router = cast("Router", host.intake)
            router._sessions = cast("Any", NoSessions())
            yield host


def _fill(connection: apsw.Connection) -> None:
    for n in range(AGENTS):
        agent_groups.create(connection, AgentGroup(f"ag-{n}", f"Agent {n}", f"agent-{n}", None, NOW))
    for n in range(USERS):
        users.create(connection, User(_user(n), "bench", _user(n), NOW))
    for n in range(CHATS):
        policy: UnknownSenderPolicy = "public" if n % 3 == 0 else "strict"
        chat = MessagingGroup(
            f"mg-{n}",
            "bench",
            f"chat-{n}",
            f"Chat {n}",
            is_group=True,
            unknown_sender_policy=policy,
            created_at=NOW,
        )
        messaging_groups.create(connection, chat)
        _wire(connection, n)


def _wire(connection: apsw.Connection, chat: int) -> None:
    for priority, rules in enumerate(RULES):
        agent = f"ag-{(chat + 10 * priority) % AGENTS}"
        wiring = Wiring(f"w-{chat}-{priority}", f"mg-{chat}", agent, rules, "all", "shared", priority, NOW)
        wirings.create(connection, wiring)
        session = Session(
            f"s-{chat}-{priority}", agent, f"mg-{chat}", None, None, "active", "stopped", None, NOW
        )
        sessions.create(connection, session)
        connection.executemany(
            "INSERT OR IGNORE INTO agent_group_members (user_id, agent_group_id, added_at) VALUES (?, ?, ?)",
            [(_user(user), agent, NOW.isoformat()) for user in _in_chat(chat)],
        )
