"""Host and runner of one session. Each has only its own functions and its own connection."""

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import TypeVar, cast

import apsw
import trio
from attrs import define, evolve, field

from agent_runner import inbound, outbound, pruning
from agent_runner.config import RunnerConfig
from agent_runner.providers.echo import Echo
from agent_runner.records import OutgoingRow, Turn
from agent_runner.seams import Seams
from agent_runner.session import Session, open_session
from agent_runner.tools.base import ToolContext
from agent_runner.turns.state import TurnState
from nanoclaw.config.tables import RetentionConfig
from nanoclaw.records import SessionPaths
from nanoclaw.session import transactions
from nanoclaw.session.pruning import Pruner
from nanoclaw.session.queue import Delivery
from nanoclaw.session.services import Services
from nanoclaw.session.transactions import Settlement
from nanoclaw.store import UntrustedReader, Writer, open_untrusted, own_inbound
from nanoclaw.store.engine.connections import open_readonly
from nanoclaw.store.session import deliveries, messages_in
from nanoclaw.store.session.messages_in import PLAUSIBLE_LEAD
from nanoclaw.store.session.outbound import look
from nanoclaw.testing.world.executor import InlineExecutor
from tests.runner.world import SCHEMA, Bell

T = TypeVar("T")


@define(eq=False)
class Date:
    """The date of both sides. Only a step moves it."""

    moment: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment

    async def jumped(self) -> None:
        await trio.sleep_forever()

    def pass_(self, hours: float) -> None:
        self.moment += timedelta(hours=hours)


@define(eq=False)
class Host:
    """The changes of a session's actor to its `inbound.db`."""

    paths: SessionPaths
    executor: InlineExecutor
    date: Date
    _writer: Writer | None = field(default=None, init=False)
    _reader: UntrustedReader | None = field(default=None, init=False)
    _open: AsyncExitStack = field(factory=AsyncExitStack, init=False)

    @property
    def file(self) -> Path:
        return self.paths.inbound_db

    @property
    def writer(self) -> Writer:
        assert self._writer
        return self._writer

    @property
    def reader(self) -> UntrustedReader:
        assert self._reader
        return self._reader

    async def open(self) -> None:
        async with AsyncExitStack() as opening:
            random = Random(1)
            self._writer = await opening.enter_async_context(
                own_inbound(self.paths, executor=self.executor, clock=self.date, random=random)
            )
            self._reader = await opening.enter_async_context(
                open_untrusted(self.paths.outbound_db, self.executor, random=random)
            )
            self._open = opening.pop_all()

    async def close(self) -> None:
        await self._open.aclose()

    def peek(self, query: Callable[[apsw.Connection], T]) -> T:
        """Return the rows of `inbound.db`."""
        with closing(open_readonly(self.file)) as connection:
            return query(connection)

    async def look(self) -> Settlement:
        """Return a look as the session requests it."""
        above, own = self.peek(deliveries.seen), self.peek(messages_in.largest_seq)
        up_to = own + PLAUSIBLE_LEAD
        seen = await self.reader.run(look, above=above, up_to=up_to, open_ids=(), known_ids=())
        rows = [Delivery(row) for row in seen.rows]
        return Settlement(rows=rows, actions=[row for row in rows if row.action])

    async def settle(self, settlement: Settlement) -> None:
        await self.writer.run(transactions.settle, settlement, self.date.now(), "UTC")

    async def prune(self, age_s: float) -> None:
        config = SimpleNamespace(retention=RetentionConfig(messages_s=age_s, files_s=0.0))
        services = SimpleNamespace(config=config, clock=self.date, executor=self.executor)
        await Pruner(cast("Services", services), self.paths, self.writer, self.reader).prune()


@define(eq=False)
class Runner:
    """The changes of a runner and its tools to `outbound.db`, and what they read in `inbound.db`."""

    paths: SessionPaths
    executor: InlineExecutor
    date: Date
    random: Random
    _session: Session | None = field(default=None, init=False)
    _open: AsyncExitStack = field(factory=AsyncExitStack, init=False)

    @property
    def file(self) -> Path:
        return self.paths.outbound_db

    @property
    def session(self) -> Session:
        assert self._session
        return self._session

    @property
    def config(self) -> RunnerConfig:
        return RunnerConfig(
            inbound_db=self.paths.inbound_db,
            outbound_db=self.paths.outbound_db,
            heartbeat=self.paths.outbound_dir / ".heartbeat",
            schema_dir=SCHEMA,
        )

    async def open(self) -> None:
        self.paths.outbound_dir.mkdir(parents=True, exist_ok=True)
        seams = Seams(self.date, self.executor, Bell(), self.random, Echo())
        async with AsyncExitStack() as opening:
            self._session = await opening.enter_async_context(open_session(self.config, seams))
            self._open = opening.pop_all()

    async def close(self) -> None:
        await self._open.aclose()

    @property
    def context(self) -> ToolContext:
        """Return the context in which the tools of a turn run."""
        return ToolContext(self.session, Turn("turn", ()), None, TurnState())

    async def floor(self) -> int:
        return await self.session.inbound.read(inbound.sequence_floor)

    async def send(self, rows: Sequence[OutgoingRow], floor: int) -> list[int]:
        """Store messages in one transaction, and return their numbers."""
        return await self.session.outbound.write(
            lambda connection: [outbound.send(connection, row, floor) for row in rows]
        )

    async def prune(self, age_s: float) -> None:
        config = evolve(self.config, keep_messages=age_s, keep_acks=age_s)
        pruner = pruning.Pruner(evolve(self.session, config=config))
        while await pruner.step():
            pass
