"""The kind `create_agent`: an agent asks for another agent. The two may write to each other."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import blake2b

from attrs import frozen

from nanoclaw.approvals.fields import Fields, agent_of
from nanoclaw.approvals.installation import Installation
from nanoclaw.approvals.kind import Asked, Effects, Wanted
from nanoclaw.approvals.visible import lines, visible
from nanoclaw.records import AgentDestination, AgentGroup, PendingApproval
from nanoclaw.registry import ActionRefused
from nanoclaw.store import Connection
from nanoclaw.store.central import agent_groups, destinations, pending_approvals
from nanoclaw.store.central.agent_groups import SHARED_FOLDER
from nanoclaw.store.engine.slugs import distinct, slug

LONGEST_NAME, LONGEST_INSTRUCTIONS = 200, 3_000
"""Limits in characters. A card shows all of both."""
FOLDER, LOCAL_NAME = 60, 40
"""Characters of a name that are taken for its folder, and for the name of a destination."""
FALLBACK = "agent"
DAY = timedelta(days=1)


@frozen
class CreateAgent:
    """Creates an agent, its folder, and destinations from each of the two agents to the other."""

    installation: Installation
    action: str = "create_agent"
    for_agents: bool = True

    def check(self, connection: Connection, asked: Asked) -> Wanted:
        """Check that the name is free, and that the agent may create one more today."""
        agent, fields = agent_of(connection, asked), Fields.of(asked, "name", "instructions")
        name = fields.needed("name", LONGEST_NAME).strip()
        if visible(name) != name:
            raise ActionRefused("name must be one line of printable characters")
        instructions = fields.text("instructions", LONGEST_INSTRUCTIONS) or ""
        _require_free(connection, name)
        self._require_few(connection, agent.id)
        folder = self._folder(connection, name)
        shown = f"\nIts instructions:\n{lines(instructions)}" if instructions else "\nIt has no instructions."
        return Wanted(
            payload={"name": name, "folder": folder, "instructions": instructions},
            same=name.casefold(),
            title=f"{agent.folder} asks to create an agent",
            text=f"A new agent “{name}” in the folder {folder}, or the next free one. It has no chat. "
            f"The agent {agent.folder} may write to it, and it may write to {agent.folder}."
            f"{shown}{fields.reason}",
        )

    def apply(self, connection: Connection, approval: PendingApproval) -> Mapping[str, object]:
        """Create the agent and both destinations."""
        name = str(approval.payload.get("name"))
        if approval.status != "approved":
            return {"name": name}
        creator = agent_groups.get(connection, approval.agent_group_id or "")
        if creator is None:
            raise ActionRefused("the agent that asked is gone")
        _require_free(connection, name)
        now = approval.decided_at or self.installation.now()
        group = AgentGroup(created_id(approval), name, self._folder(connection, name), None, now)
        agent_groups.create(connection, group)
        there = _connect(connection, creator, group, now)
        back = _connect(connection, group, creator, now)
        return {
            "name": name,
            "agent": group.id,
            "folder": group.folder,
            "destination": there,
            "its_name": back,
        }

    async def finish(self, approval: PendingApproval, effects: Effects) -> Mapping[str, object] | None:
        """Make the folder, and let the agent that asked see its new destination."""
        await effects.make_agent(created_id(approval), str(approval.payload.get("instructions") or ""))
        await effects.destinations_changed(approval.agent_group_id or "")
        return None

    def _require_few(self, connection: Connection, agent_group_id: str) -> None:
        most = self.installation.config.agents.max_created_a_day
        since = self.installation.now() - DAY
        recent = [
            each
            for each in pending_approvals.for_action(connection, self.action, None)
            if each.agent_group_id == agent_group_id and _counts(each, since)
        ]
        if len(recent) >= most:
            raise ActionRefused(f"an agent may create {most} agents within 24 hours; ask again later")

    def _folder(self, connection: Connection, name: str) -> str:
        """Return a folder that no agent has, and that does not exist: it may be of a deleted agent."""
        taken = {each.folder.lower() for each in agent_groups.every(connection)}
        base = slug(name)[:FOLDER].strip("-") or FALLBACK
        return distinct(base, {*taken, *self.installation.taken_folders(), SHARED_FOLDER})


def created_id(approval: PendingApproval) -> str:
    """Return the id of the agent that an approval creates. It is always the same one."""
    return "ag-" + blake2b(approval.approval_id.encode(), digest_size=8).hexdigest()


def _counts(approval: PendingApproval, since: datetime) -> bool:
    if approval.status == "pending":
        return True
    return approval.status == "approved" and approval.decided_at is not None and approval.decided_at > since


def _require_free(connection: Connection, name: str) -> None:
    """Two agents of one name could not be told apart, by people or in commands."""
    wanted = name.casefold()
    for each in agent_groups.every(connection):
        if wanted in {each.name.casefold(), each.folder.casefold(), each.id.casefold()}:
            raise ActionRefused(f"there is an agent {visible(name)!r:.210} already; choose another name")


def _connect(connection: Connection, from_: AgentGroup, to: AgentGroup, now: datetime) -> str:
    """Let an agent write to another one. Return the name that it uses."""
    base = slug(to.name)[:LOCAL_NAME].strip("-") or slug(to.folder)[:LOCAL_NAME].strip("-") or FALLBACK
    name = distinct(base, {each.local_name for each in destinations.of_agent(connection, from_.id)})
    destinations.create(connection, AgentDestination(from_.id, name, "agent", to.id, now))
    return name


KIND = CreateAgent
