"""The kind `request_mount`: an agent asks for a folder or file of this machine."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import PurePosixPath

from attrs import field, frozen

from nanoclaw.agents import Change, Grant
from nanoclaw.agents.mount_list import HostPath
from nanoclaw.approvals.fields import Fields, agent_of
from nanoclaw.approvals.installation import Installation
from nanoclaw.approvals.kind import Asked, Effects, Wanted
from nanoclaw.approvals.visible import visible
from nanoclaw.config.kinds import Unfit
from nanoclaw.records import PendingApproval
from nanoclaw.registry import ActionRefused
from nanoclaw.store import Connection

BELOW = PurePosixPath("/mnt")
"""The folder of a sandbox in which mounts appear."""
LONGEST = 1_000
PAUSE = timedelta(seconds=5)
"""Time between two searches of folders for one agent."""
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")


@frozen
class RequestMount:
    """Adds a mount to the agent's `container.json`. The owner must have listed it in `mounts.toml`."""

    installation: Installation
    action: str = "request_mount"
    for_agents: bool = True
    _searched: dict[str, datetime] = field(factory=dict, init=False)
    """When a folder was last searched for an agent. A large one takes a second, and the registry waits."""

    def check(self, connection: Connection, asked: Asked) -> Wanted:
        """Check that the owner lets the agent have the folder, and that its place is free."""
        agent, fields = agent_of(connection, asked), Fields.of(asked, "path", "name", "write")
        if not self.installation.sandboxed:
            raise ActionRefused("this agent has no sandbox, so it cannot have a folder of this machine")
        source, write = fields.needed("path", LONGEST), fields.flag("write")
        try:
            wanted = Grant(HostPath().read(source), BELOW / _name(source, fields), read_only=not write)
        except Unfit as error:
            raise ActionRefused(f"path {error}") from error
        self.installation.listing(agent.folder, wanted.source)
        self._require_patience(agent.id)
        granted = self.installation.mount(agent.folder, wanted)
        if write and granted.read_only:
            raise ActionRefused("the owner lets agents only read that folder; ask without write")
        self._require_free(agent.folder, granted)
        mount = {
            "source": str(granted.source),
            "target": str(granted.target),
            "readOnly": granted.read_only,
        }
        self.installation.checked(agent.folder, _adding(mount), mounts=False)
        may = "only read" if granted.read_only else "READ AND WRITE"
        return Wanted(
            payload=mount,
            same=repr(mount),
            title=f"{agent.folder} asks for {visible(granted.source.name)[:80]}",
            text=f"The agent {agent.folder} could {may} this, with all that is in it:\n"
            f"{visible(str(granted.source))}\nIn its sandbox it is {granted.target}.{fields.reason}",
        )

    def apply(self, _connection: Connection, approval: PendingApproval) -> Mapping[str, object]:
        """Return where the agent finds the folder."""
        return {"path": approval.payload.get("target"), "readOnly": approval.payload.get("readOnly")}

    async def finish(self, approval: PendingApproval, effects: Effects) -> Mapping[str, object] | None:
        """Write the mount, and start the agent's runners with it."""
        agent = approval.agent_group_id or ""
        await effects.change_container_json(agent, _adding(approval.payload))
        await effects.restart_agent(agent)
        return None

    def _require_patience(self, agent_group_id: str) -> None:
        now = self.installation.now()
        last = self._searched.get(agent_group_id)
        if last is not None and abs(now - last) < PAUSE:
            raise ActionRefused(f"ask for one folder at a time; the next one after {PAUSE.seconds} s")
        self._searched[agent_group_id] = now

    def _require_free(self, folder: str, granted: Grant) -> None:
        for each in self.installation.container(folder).mounts:
            if each == granted:
                raise ActionRefused(f"this agent has that folder already, at {granted.target}")
            if each.target == granted.target:
                raise ActionRefused(f"{granted.target} is taken by another mount; choose another name")


def _name(source: str, fields: Fields) -> str:
    name = fields.text("name", LONGEST) or re.sub(r"[^A-Za-z0-9_-]+", "-", source.rstrip("/").split("/")[-1])
    if not _NAME.fullmatch(name):
        raise ActionRefused("name must be 1 to 64 letters, digits, `-`, `_` and `.`, with no dot in front")
    return name


def _adding(mount: Mapping[str, object]) -> Change:
    def change(values: dict[str, object]) -> None:
        there = values.get("mounts")
        mounts = there if isinstance(there, list) else []
        taken = [
            each for each in mounts if isinstance(each, Mapping) and each.get("target") == mount["target"]
        ]
        if not taken:
            values["mounts"] = [*mounts, dict(mount)]
        elif taken != [mount]:
            raise ActionRefused(
                f"{mount['target']} is taken by another mount now; ask again with another name"
            )

    return change


KIND = RequestMount
