"""A session for one runner: a small fake host on real SQLite files, and seams that tests can steer."""

import json
import shutil
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Literal, TypeVar

import apsw
import trio
from attrs import define, field
from trio.testing import MockClock

from agent_runner.config import RunnerConfig
from agent_runner.providers import Provider, SimpleProvider, Toolbox
from agent_runner.providers.echo import Echo
from agent_runner.records import Result, Turn
from agent_runner.runner import run_runner
from agent_runner.seams import Lane, Seams

T = TypeVar("T")
Row = tuple[object, ...]
SCHEMA = Path(__file__).parents[2] / "schema"
EPOCH = datetime(2025, 3, 1, 12, tzinfo=UTC)
OWN_CHAT = ("tg", "chat-1", None)


def at(seconds: float) -> str:
    """Return a moment of virtual time as text of the contract."""
    moment = EPOCH + timedelta(seconds=seconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def virtually(main: Callable[..., Awaitable[object]], *args: object, **options: object) -> object:
    """Run `trio.run` in virtual time. All tests of the loop use it."""
    return trio.run(main, *args, **{**options, "clock": MockClock(autojump_threshold=0)})  # type: ignore[arg-type]  # pytest-trio's


class VirtualClock:
    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=trio.current_time())


class Killed(Exception):
    """Raised by a test's commit hook: the process dies there."""


@define(eq=False)
class InlineExecutor:
    """An executor without threads. `on_commit(n, when)` may raise Killed."""

    on_commit: Callable[[int, Literal["before", "after"]], None] | None = None
    commits: int = 0
    committed: trio.Event = field(factory=trio.Event)

    async def run(self, call: Callable[[], T], *, lane: Lane = "write") -> T:
        del lane
        await trio.lowlevel.checkpoint()
        return call()

    def before_commit(self, path: Path) -> None:
        assert path.name in ("outbound.db", "notes.db")
        if self.on_commit:
            self.on_commit(self.commits + 1, "before")

    def after_commit(self, path: Path) -> None:
        assert path.name in ("outbound.db", "notes.db")
        self.commits += 1
        self.committed.set()
        self.committed = trio.Event()
        if self.on_commit:
            self.on_commit(self.commits, "after")


@define(eq=False)
class Bell:
    """Wake-ups that the fake host sends."""

    broken: bool = False
    _listeners: list[Callable[[], None]] = field(factory=list)

    def ring(self) -> None:
        if not self.broken:
            for changed in self._listeners:
                changed()

    @asynccontextmanager
    async def watch(self, directory: Path, changed: Callable[[], None]) -> AsyncGenerator[None]:
        assert directory.name == "inbound"
        self._listeners.append(changed)
        try:
            yield
        finally:
            self._listeners.remove(changed)


@define(eq=False)
class Script(SimpleProvider):
    """A provider that runs a function of the test, and records its turns."""

    act: Callable[[Turn, Toolbox], Awaitable[Result]]
    turns: list[Turn] = field(factory=list)
    name: str = "script"

    async def run(self, turn: Turn, tools: Toolbox, /) -> Result:
        self.turns.append(turn)
        return await self.act(turn, tools)


@define(eq=False)
class Listener(SimpleProvider):
    """A provider that records its turns and answers like echo."""

    turns: list[Turn] = field(factory=list)
    name: str = "listener"

    async def run(self, turn: Turn, tools: Toolbox, /) -> Result:
        self.turns.append(turn)
        return await Echo().run(turn, tools)

    @property
    def heard(self) -> list[list[str]]:
        """Return the ids of the messages of each turn."""
        return [[message.id for message in turn.messages] for turn in self.turns]


@define(eq=False)
class World:
    """Both files of a session. Methods without `await` act as the host or as a reader."""

    root: Path
    random: Random = field(factory=lambda: Random(1))
    executor: InlineExecutor = field(factory=InlineExecutor)
    bell: Bell = field(factory=Bell)
    log: list[dict[str, object]] = field(factory=list)
    sandboxed: bool = False

    @classmethod
    def create(cls, root: Path) -> "World":
        """Create an empty session, as a host does before the first container."""
        for name in ("inbound", "outbound/outbox", "agent"):
            (root / name).mkdir(parents=True)
        world = cls(root)
        for name in ("inbound", "outbound"):
            with closing(apsw.Connection(str(root / name / f"{name}.db"))) as connection:
                connection.execute("PRAGMA synchronous = OFF; BEGIN")
                for step in sorted((SCHEMA / name).glob("*.sql" if name == "inbound" else "001-*.sql")):
                    connection.execute(step.read_text()).fetchall()
                connection.execute("PRAGMA user_version = 1; COMMIT")
        world.host("INSERT INTO session_routing VALUES (1, ?, ?, ?)", *OWN_CHAT)
        return world

    @property
    def config(self) -> RunnerConfig:
        return RunnerConfig(
            inbound_db=self.root / "inbound" / "inbound.db",
            outbound_db=self.root / "outbound" / "outbound.db",
            heartbeat=self.root / "outbound" / ".heartbeat",
            workspace=self.root / "agent",
            schema_dir=SCHEMA,
            assistant_name="Nano",
            admin_user_ids=("tg:1",),
            sandboxed=self.sandboxed,
        )

    # -- the host ---------------------------------------------------------------

    def host(self, sql: str, *values: object) -> None:
        """Commit to inbound.db, and send a wake-up."""
        with closing(apsw.Connection(str(self.config.inbound_db))) as connection:
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute(sql, values).fetchall()
        self.bell.ring()

    def put(self, seq: int, text: str = "hi", *, kind: str = "chat", **columns: object) -> str:
        """Store a message with an even number. Return its id."""
        id_ = f"in-{seq}"
        row: dict[str, object] = {
            "id": id_,
            "seq": seq,
            "kind": kind,
            "timestamp": at(0),
            "channel_type": "tg",
            "platform_id": "chat-1",
            "content": json.dumps({"id": f"p{seq}", "text": text, "sender": "Ann", "senderId": "tg:1"}),
            **columns,
        }
        marks = ", ".join("?" for _ in row)
        self.host(f"INSERT INTO messages_in ({', '.join(row)}) VALUES ({marks})", *row.values())  # noqa: S608 -- names of this file
        return id_

    def deliver(
        self, message_out_id: object, platform_id: str | None = "p", status: str = "delivered"
    ) -> None:
        """Record the final outcome of a sent message."""
        insert = """
            INSERT INTO delivered (message_out_id, platform_message_id, status, delivered_at)
            VALUES (?, ?, ?, ?)
        """
        self.host(insert, message_out_id, platform_id, status, at(0))

    def requests(self) -> list[tuple[str, dict[str, object]]]:
        """Return id and content of every request to the host, in order."""
        rows = self.out("SELECT id, content FROM messages_out WHERE kind = 'system' ORDER BY seq")
        return [(str(id_), json.loads(str(content))) for id_, content in rows]

    def answer(self, request_id: str, seq: int, **result: object) -> str:
        """Answer a request, with `error` as a refusal. Return the id of the answer."""
        status = "failed" if "error" in result else "completed"
        content = {"action": "x", "status": status, "requestId": request_id, "result": result}
        id_ = f"answer-{request_id}"
        insert = """
        INSERT INTO messages_in (id, seq, kind, timestamp, content, trigger) VALUES (?, ?, 'system', ?, ?, ?)
        """
        self.host(insert, id_, seq, at(0), json.dumps(content), status == "failed")
        return id_

    def settle(self) -> None:
        """Act as the host after a container's death: copy final acks, and retry the other messages."""
        for id_, status in self.out("SELECT message_id, status FROM processing_ack"):
            if status in ("completed", "failed"):
                self.host("UPDATE messages_in SET status = ? WHERE id = ?", status, id_)
            else:
                self.host("UPDATE messages_in SET tries = tries + 1 WHERE id = ?", id_)

    # -- looking ----------------------------------------------------------------

    def out(self, sql: str, *values: object) -> list[Row]:
        """Return rows of outbound.db."""
        with self.outbound(apsw.SQLITE_OPEN_READONLY) as connection:
            return [tuple(row) for row in connection.execute(sql, values)]

    @contextmanager
    def outbound(self, flags: int = apsw.SQLITE_OPEN_READWRITE) -> Iterator[apsw.Connection]:
        with closing(apsw.Connection(str(self.config.outbound_db), flags)) as connection:
            yield connection

    def texts(self) -> list[str]:
        """Return the text of every sent message, in order."""
        rows = self.out("SELECT content FROM messages_out ORDER BY seq")
        sent = [json.loads(str(content)) for (content,) in rows]
        return [each.get("markdown") or each.get("text", "") for each in sent]

    def acks(self) -> dict[object, object]:
        """Return the status of every ack, by message."""
        return dict(self.out("SELECT message_id, status FROM processing_ack"))  # type: ignore[arg-type]  # two columns

    # -- running ----------------------------------------------------------------

    def seams(self, provider: Provider) -> Seams:
        return Seams(VirtualClock(), self.executor, self.bell, self.random, provider)

    @asynccontextmanager
    async def running(self, provider: Provider | None = None) -> AsyncGenerator[None]:
        """Run a runner while the block runs, and kill it at the end."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_runner, self.config, self.seams(provider or Echo()))
            with trio.fail_after(100_000):
                yield
            nursery.cancel_scope.cancel()

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for a commit of the runner that makes the condition true."""
        while not condition():
            await self.executor.committed.wait()

    async def until_acked(self, *ids: str, status: str = "completed") -> None:
        """Wait until all these messages have that ack."""
        await self.until(lambda: all(self.acks().get(id_) == status for id_ in ids))

    async def serve(self, provider: Provider, *ids: str) -> None:
        """Run a runner until these messages are completed."""
        async with self.running(provider):
            await self.until_acked(*ids)


def of(rows: Sequence[Row], column: int = 0) -> list[object]:
    """Return one column."""
    return [row[column] for row in rows]


def leave_hot_journal(path: Path) -> None:
    """Leave a hot journal at `path`, as a writer does that is killed during its commit."""
    table = "messages_in" if path.name == "inbound.db" else "messages_out"
    aside = path.with_name("aside")
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("PRAGMA cache_size = 1; BEGIN IMMEDIATE").fetchall()
        connection.executemany(
            f"INSERT INTO {table} (id, kind, timestamp, content) VALUES (?, 'chat', '', ?)",  # noqa: S608 -- of this file
            ((f"half-{number}", "x" * 2000) for number in range(200)),
        )
        for suffix in ("", "-journal"):
            shutil.copy(f"{path}{suffix}", f"{aside}{suffix}")
        connection.execute("ROLLBACK")
    for suffix in ("-journal", ""):
        shutil.move(f"{aside}{suffix}", f"{path}{suffix}")
