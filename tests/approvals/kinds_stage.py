"""Kinds of approvals on a real central database, without a host."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

from attrs import define, evolve, field

from nanoclaw.agents import ContainerConfig
from nanoclaw.approvals.installation import Installation
from nanoclaw.approvals.kind import ApprovalKind, Asked, Wanted
from nanoclaw.config import config_of
from nanoclaw.records import AgentGroup, PendingApproval
from nanoclaw.store import Connection, own_central
from nanoclaw.store.central import agent_groups, pending_approvals
from nanoclaw.testing.world.executor import InlineExecutor
from tests.store.openings import NOW, StillClock


@define(eq=False)
class Stage:
    """One agent, `main`, and the kinds that it asks."""

    home: Path
    run: Callable[..., Any]
    installation: Installation
    main: AgentGroup
    approvals: int = field(default=0, init=False)

    @property
    def folder(self) -> Path:
        return self.home / "groups" / "main"

    def container(self, values: Mapping[str, object]) -> None:
        """Write the agent's `container.json`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "container.json").write_text(json.dumps(values))

    async def check(self, make: Callable[[Installation], ApprovalKind], **values: object) -> Wanted:
        """Check a request of the agent."""
        kind = make(self.installation)
        asked = Asked(kind.action, {"action": kind.action, **values}, self.main.id, "sess-1")
        wanted: Wanted = await self.run(kind.check, asked)
        return wanted

    async def decide(
        self, make: Callable[[Installation], ApprovalKind], wanted: Wanted, status: Any = "approved"
    ) -> tuple[PendingApproval, Mapping[str, object]]:
        """Store a decided approval, and have its kind apply it."""
        kind = make(self.installation)
        self.approvals += 1
        id_ = f"appr-{self.approvals}"
        approval = PendingApproval(id_, None, id_, kind.action, wanted.payload, NOW, self.main.id)
        decided = evolve(approval, status=status, decided_at=NOW, decided_by="cli:local")

        def apply(connection: Connection) -> Mapping[str, object]:
            pending_approvals.create(connection, decided)
            return kind.apply(connection, decided)

        return decided, await self.run(apply)


@asynccontextmanager
async def a_stage(home: Path, **settings: object) -> AsyncIterator[Stage]:
    config = config_of(home, dict(settings))
    config.groups.mkdir(parents=True, exist_ok=True)
    clock, main = StillClock(), AgentGroup("ag-main", "Main", "main", None, NOW)
    async with own_central(home / "data", executor=InlineExecutor(), clock=clock, random=Random(1)) as writer:
        await writer.run(agent_groups.create, main)
        installation = Installation(config, clock.now, environ={})
        yield Stage(home, writer.run, installation, main)


def without_apt(container: ContainerConfig) -> Mapping[str, str]:
    """Stand for a runtime that has no apt."""
    return {"packages.apt": "use docker"} if container.packages.apt else {}
