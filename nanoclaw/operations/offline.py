"""Operations on the files of a data directory without a host: they own it while they run."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import cast

from attrs import frozen

from actors import Context, Policy, Ref, open_supervisor
from nanoclaw.operations.errors import Unavailable
from nanoclaw.operations.folders import make_agent_folder
from nanoclaw.operations.ground import Ground
from nanoclaw.operations.session_files import SessionFiles
from nanoclaw.records import Answer, SessionPaths
from nanoclaw.records.status import SessionDetails
from nanoclaw.registry import ApprovalEngine, Changes, Registry, registry_recipe
from nanoclaw.session.administration import TaskChange, TaskVerb, change_task, store_answer
from nanoclaw.session.requests import ActionContext
from nanoclaw.session.services import Conversation
from nanoclaw.store import Executor, NotFound, Reader, StoreError, open_reader, own_inbound
from nanoclaw.store.engine.sidecars import check as check_sidecars
from nanoclaw.system.clock import Clock


@frozen
class SessionsAtRest:
    """Sessions whose host does not run: their files are owned for one change at a time."""

    data: Path
    executor: Executor
    clock: Clock
    random: Random
    zone: str
    alive: bool = False

    async def describe(self, _session_id: str) -> SessionDetails | None:
        """Return None: no actor runs."""
        return None

    async def change_task(self, who: Conversation, verb: TaskVerb, task_id: str) -> TaskChange:
        """Change a task in the session's file; the next host goes on from there."""
        paths = SessionPaths.of(self.data, who.agent_group.id, who.session.id)
        if not paths.inbound_db.exists():
            raise NotFound(f"session {who.session.id} has no file yet")
        async with own_inbound(paths, executor=self.executor, clock=self.clock, random=self.random) as writer:
            context = ActionContext(self.clock.now(), self.zone)
            return await writer.run(change_task, verb, task_id, context)

    async def answer(self, who: Conversation, answer: Answer) -> bool:
        """Store an answer in the session's file; an interrupted turn finds it there."""
        paths = SessionPaths.of(self.data, who.agent_group.id, who.session.id)
        try:
            async with own_inbound(
                paths, executor=self.executor, clock=self.clock, random=self.random
            ) as writer:
                return await writer.run(store_answer, answer, self.clock.now()) is not None
        except StoreError as error:
            raise Unavailable(f"session {who.session.id} cannot take it now: {error}") from error

    async def restart_runner(self, who: Conversation) -> bool:
        """Refuse: runners do not outlive their host."""
        raise Unavailable(f"session {who.session.id} has no runner: no host is running")

    def state(self, _session_id: str) -> str | None:
        """Return None: no actor runs."""
        return None


@asynccontextmanager
async def open_to_read(  # noqa: PLR0913 -- the seams, by name
    data: Path, groups: Path, *, zone: str, executor: Executor, clock: Clock, random: Random
) -> AsyncIterator[Ground]:
    """Read a data directory that nobody owns and that cannot be owned: its disk is full or read-only.

    Only operations that read work on it.

    Raises:
        StoreError: its database cannot be read.
    """
    async with open_supervisor("files", policy=Policy(intensity=0), random=random) as supervisor:
        await executor.run(partial(check_sidecars, data / "v2.db"), lane="read")
        registry = supervisor.start("registry", _no_registry)
        async with open_reader(data / "v2.db", executor, random=random) as central:
            yield _ground(
                data, groups, registry, central, SessionsAtRest(data, executor, clock, random, zone)
            )


@asynccontextmanager
async def _no_registry(_context: Context[Registry]) -> AsyncIterator[Registry]:
    """Replace the registry for operations that read, which never ask it."""
    yield cast("Registry", None)


def _ground(
    data: Path, groups: Path, registry: Ref[Registry], central: Reader, sessions: SessionsAtRest
) -> Ground:
    return Ground(
        registry=registry,
        central=central,
        sessions=sessions,
        files=SessionFiles(data, sessions.executor, central, sessions.clock.now),
        make_agent_folder=partial(make_agent_folder, groups),
        now=sessions.clock.now,
        random=sessions.random,
        zone=sessions.zone,
    )


@asynccontextmanager
async def open_files(  # noqa: PLR0913 -- the seams, by name
    data: Path,
    groups: Path,
    *,
    approvals: ApprovalEngine,
    zone: str,
    executor: Executor,
    clock: Clock,
    random: Random,
) -> AsyncIterator[Ground]:
    """Own a data directory and work on it, without a host. `approvals` carries out decisions.

    Raises:
        StoreError: a host owns it, or its database cannot be used; it may come out of a failed actor.
    """
    async with open_supervisor("files", policy=Policy(intensity=0), random=random) as supervisor:
        recipe = registry_recipe(data, executor, clock, random, Changes(), approvals)
        registry = supervisor.start("registry", recipe)
        await registry.wait_started()
        async with open_reader(data / "v2.db", executor, random=random) as central:
            yield _ground(
                data, groups, registry, central, SessionsAtRest(data, executor, clock, random, zone)
            )
