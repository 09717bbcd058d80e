"""What approved requests change outside of the central database: agents' folders, packages and runners.

Each method may be repeated after a crash at any point, with the same result.
"""

import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import TypeVar

import structlog
import trio
from attrs import Factory, frozen

from nanoclaw.agents import BadContainerJson, Change, ContainerConfig, change_container_json
from nanoclaw.approvals.installation import Installation
from nanoclaw.config import Config
from nanoclaw.operations.folders import make_agent_folder
from nanoclaw.records import AgentGroup, SessionPaths
from nanoclaw.registry import ActionRefused, RecordUsage
from nanoclaw.registry.usage import NewAlert
from nanoclaw.runtimes import (
    NotNow,
    Packages,
    Prepares,
    ReportsUnhonoured,
    RunnerSpec,
    Runtime,
    StartFailed,
    isolates,
    unwrapped,
)
from nanoclaw.session import Services, Sessions
from nanoclaw.session.spec import with_container
from nanoclaw.store.central import agent_groups, sessions
from nanoclaw.system.clock import Clock

LONGEST_TURN_S = 600.0
"""Seconds that a turn may go on before its runner is started again with a changed configuration."""
INSTRUCTIONS = "CLAUDE.md"
PRIVATE_FILE = 0o600

T = TypeVar("T")
Deliver = Callable[[str, str | None], Awaitable[None]]

_log = structlog.get_logger()


def installation_of(config: Config, clock: Clock, runtime: Runtime) -> Installation:
    """Return what kinds of approvals read of a host."""
    return Installation(
        config,
        clock.now,
        sandboxed=isolates(runtime),
        unhonoured=partial(_unhonoured, unwrapped(runtime)),
    )


def _unhonoured(runtime: Runtime, container: ContainerConfig) -> dict[str, str]:
    if not isinstance(runtime, ReportsUnhonoured):
        return {}
    return dict(runtime.unhonoured(_spec(Path("/agent"), container)))


def _spec(folder: Path, container: ContainerConfig) -> RunnerSpec:
    """Return the specification of an agent's sandbox, without a session."""
    spec = RunnerSpec("", SessionPaths(folder), folder / "workspace", container.provider or "", {})
    return with_container(spec, container)


@frozen
class HostEffects:
    """Implements `nanoclaw.approvals.kind.Effects` for a running host."""

    services: Services
    sessions: Sessions
    installation: Installation
    deliver: Deliver
    """Delivers the held messages of a chat, or of a sender in it."""
    _writing: trio.Lock = Factory(trio.Lock)
    """Held from the reading of a `container.json` to its replacement."""

    async def change_container_json(self, agent_group_id: str, change: Change, /) -> None:
        """Install what the change adds, then write it."""
        group = await self._group(agent_group_id)
        after = await self._run(partial(self.installation.checked, group.folder, change))
        await self._prepare(group, after)
        async with self._writing:
            await self._run(partial(self._write, group.folder, change))
        _log.info("agent.container_json_changed", agent=group.folder)

    async def rebuild_agent(self, agent_group_id: str, /) -> None:
        """Install the packages that are missing."""
        group = await self._group(agent_group_id)
        await self._prepare(group, await self._run(partial(self.installation.container, group.folder)))

    async def restart_agent(self, agent_group_id: str, /) -> None:
        """Have the runners of living sessions end after their turns, and wait for that."""
        found = await self.services.central.run(sessions.for_agent, agent_group_id)
        await self.sessions.renew([each.id for each in found], LONGEST_TURN_S)

    async def make_agent(self, agent_group_id: str, instructions: str, /) -> None:
        """Make the folder. An agent that was deleted in the meantime gets none."""
        group = await self.services.central.run(agent_groups.get, agent_group_id)
        if group is not None:
            await self._run(partial(_make, self.services.config.groups, group.folder, instructions))

    async def destinations_changed(self, agent_group_id: str, /) -> None:
        """Notify the agent's sessions, which project their destinations."""
        await trio.lowlevel.checkpoint()
        self.services.changes.tell(agent_group_id)

    async def budgets_changed(self) -> None:
        """Notify the keeper of the budgets."""
        await trio.lowlevel.checkpoint()
        self.services.changes.tell_budgets()

    async def deliver_held(self, messaging_group_id: str, user_id: str | None, /) -> None:
        """Deliver held messages."""
        await self.deliver(messaging_group_id, user_id)

    # -- how

    async def _group(self, agent_group_id: str) -> AgentGroup:
        group = await self.services.central.run(agent_groups.get, agent_group_id)
        if group is None:
            raise ActionRefused("the agent is gone")
        return group

    async def _prepare(self, group: AgentGroup, container: ContainerConfig) -> None:
        """Have the runtime install an agent's packages. The owner is told if it cannot."""
        runtime = unwrapped(self.services.runtime)
        spec = _spec(self.installation.folder(group.folder), container)
        if not isinstance(runtime, Prepares) or spec.packages == Packages():
            return
        try:
            await runtime.prepare(spec)
        except NotNow:
            raise  # it is tried again
        except StartFailed as error:
            await self._alert(group, str(error))
            raise ActionRefused(str(error)) from error

    async def _alert(self, group: AgentGroup, reason: str) -> None:
        """Tell the owner once a day that packages which somebody approved cannot be installed."""
        day = self.services.budgets.day
        key = blake2b(reason.encode(), digest_size=8).hexdigest()
        text = f"Packages for the agent {group.folder} cannot be installed: {reason}"
        alert = NewAlert(f"packages-{group.id}-{day}-{key}", day, f"agent:{group.id}", text)
        await self.services.registry.ask(RecordUsage([], [alert]))

    def _write(self, folder: str, change: Change) -> None:
        """Check the change again, since the file may be another one now, and write it. Blocking."""
        self.installation.checked(folder, change)
        try:
            change_container_json(self.installation.folder(folder), change)
        except (BadContainerJson, OSError) as error:
            raise ActionRefused(f"container.json of {folder} cannot be written: {error}") from error

    async def _run(self, call: Callable[[], T]) -> T:
        return await self.services.executor.run(call, lane="write")


def _make(groups: Path, folder: str, instructions: str) -> None:
    """Make an agent's folder with its instructions. An existing file of that name stays. Blocking."""
    make_agent_folder(groups, folder)
    if not instructions.strip():
        return
    file = groups / folder / "workspace" / INSTRUCTIONS
    new = groups / folder / f".{INSTRUCTIONS}.new"  # beside the workspace, where no agent writes
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_FILE)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(f"{instructions.rstrip()}\n")
            stream.flush()
            os.fsync(descriptor)
        with suppress(FileExistsError):
            os.link(new, file, follow_symlinks=False)  # unlike a rename, it replaces nothing
    finally:
        new.unlink(missing_ok=True)
