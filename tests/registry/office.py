"""A registry actor without a host, and the facade to it."""

from collections.abc import AsyncIterator, Awaitable
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random

from attrs import define

from actors import Ref, Supervisor, open_supervisor
from nanoclaw.operations import Admin, Ground, SessionFiles
from nanoclaw.operations.folders import make_agent_folder
from nanoclaw.operations.offline import SessionsAtRest
from nanoclaw.records import Address, AgentGroup, MessagingGroup
from nanoclaw.registry import Changes, Registry, registry_recipe
from nanoclaw.store import Reader, open_reader
from nanoclaw.testing.world.executor import InlineExecutor
from tests.approvals.catalogues import a_catalogue
from tests.store.openings import StillClock


@define(eq=False)
class Office:
    admin: Admin
    registry: Ref[Registry]
    central: Reader
    changes: Changes
    supervisor: Supervisor

    def restarts(self) -> int:
        """Number of times that the registry was started again."""
        return self.supervisor.tree().children[0].restarts

    async def told(self, call: Awaitable[object], *agent_group_ids: str) -> list[str]:
        """Return those of these agent groups whose watchers are told while `call` runs."""
        told = list[str]()
        with ExitStack() as stack:
            for id_ in agent_group_ids:
                stack.enter_context(self.changes.watch(id_, partial(told.append, id_)))
            await call
        return sorted(set(told))

    async def agent(self, folder: str = "one") -> AgentGroup:
        return await self.admin.agent_groups.create(folder.title(), folder)

    async def chat(self, platform_id: str = "tg:1", name: str | None = "Team") -> MessagingGroup:
        return await self.admin.messaging_groups.create(Address("tg", platform_id), name=name)


@asynccontextmanager
async def an_office(data: Path) -> AsyncIterator[Office]:
    executor, changes = InlineExecutor(), Changes()
    async with open_supervisor("office") as supervisor:
        recipe = registry_recipe(data, executor, StillClock(), Random(1), changes, a_catalogue(data.parent))
        registry = supervisor.start("registry", recipe)
        await registry.wait_started()
        async with open_reader(data / "v2.db", executor) as central:
            ground = Ground(
                registry=registry,
                central=central,
                sessions=SessionsAtRest(data, executor, StillClock(), Random(1), "UTC"),
                files=SessionFiles(data, executor, central, StillClock().now),
                make_agent_folder=partial(make_agent_folder, data.parent / "groups"),
                now=StillClock().now,
            )
            yield Office(Admin.of(ground), registry, central, changes, supervisor)
