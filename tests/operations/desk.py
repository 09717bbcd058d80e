"""The list of operations over a data directory of its own, without a host around it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

from attrs import Factory, define

from nanoclaw.operations import Admin, Caller, Catalogue, Ground, Noun, Operations
from nanoclaw.operations.admin import NOUNS
from nanoclaw.operations.offline import open_files
from nanoclaw.records import Address, Session, SessionPaths
from nanoclaw.store import own_inbound
from nanoclaw.store.session import tasks
from nanoclaw.store.session.tasks import NewTask
from nanoclaw.testing.world.executor import InlineExecutor
from tests.approvals.catalogues import a_catalogue
from tests.store.openings import NOW, StillClock


@define(eq=False)
class Desk:
    """The operations and files that a test works with."""

    home: Path
    ground: Ground
    operations: Operations
    notes: list[str] = Factory(list)

    @property
    def admin(self) -> Admin:
        return Admin.of(self.ground)

    async def perform(self, name: str, /, _caller: Caller | None = None, **params: Any) -> Any:
        """Perform an operation from outside; return its result."""
        return await self.perform_with(name, params, _caller)

    async def perform_with(
        self, name: str, params: Mapping[str, object], caller: Caller | None = None
    ) -> Any:
        return await self.operations.perform(name, params, caller or Caller.local(), self.notes.append)

    async def session(
        self, chat: str = "terminal", agent: str = "main", thread: str | None = None
    ) -> Session:
        """Create a session with files, as a host leaves it."""
        wiring = await self.admin.wirings.connect(Address("cli", chat), agent)
        session = await self.admin.sessions.open(wiring.agent_group_id, wiring.messaging_group_id, thread)
        async with self._inbound(session):
            return session

    async def task(
        self, session: Session, id_: str = "task-tea", *, recurrence: str | None = None, in_s: float = 3600
    ) -> None:
        """Create a task in a session."""
        task = NewTask(id_, NOW, "make tea", NOW + timedelta(seconds=in_s), recurrence=recurrence, zone="UTC")
        async with self._inbound(session) as writer:
            await writer.run(tasks.insert, task)

    def paths(self, session: Session) -> SessionPaths:
        return SessionPaths.of(self.home / "data", session.agent_group_id, session.id)

    def _inbound(self, session: Session) -> Any:
        return own_inbound(
            self.paths(session), executor=InlineExecutor(), clock=StillClock(), random=Random(1)
        )


@asynccontextmanager
async def a_desk(home: Path, *more: type[Noun]) -> AsyncIterator[Desk]:
    async with open_files(
        home / "data",
        home / "groups",
        approvals=a_catalogue(home),
        zone="UTC",
        executor=InlineExecutor(),
        clock=StillClock(),
        random=Random(1),
    ) as ground:
        yield Desk(home, ground, Operations(Catalogue.of([*NOUNS, *more]), ground))
