"""The kind `request_rebuild`: an agent asks to be started again, with its packages installed anew."""

from collections.abc import Mapping

from attrs import frozen

from nanoclaw.approvals.fields import Fields, agent_of
from nanoclaw.approvals.installation import Installation
from nanoclaw.approvals.kind import Asked, Effects, Wanted
from nanoclaw.records import PendingApproval
from nanoclaw.registry import ActionRefused
from nanoclaw.store import Connection


@frozen
class RequestRebuild:
    """Tries a failed installation of packages again, and starts the agent's runners anew."""

    installation: Installation
    action: str = "request_rebuild"
    for_agents: bool = True

    def check(self, connection: Connection, asked: Asked) -> Wanted:
        """Check that the agent has a sandbox, and a configuration that can be used."""
        agent, fields = agent_of(connection, asked), Fields.of(asked)
        if not self.installation.sandboxed:
            raise ActionRefused("this agent has no sandbox, so there is nothing to rebuild")
        packages = self.installation.container(agent.folder).packages
        named = (("apt", packages.apt), ("pip", packages.pip), ("npm", packages.npm))
        listed = "\n".join(f"{each}: {', '.join(names)}" for each, names in named if names)
        return Wanted(
            payload={},
            same="",
            title=f"{agent.folder} asks to be started again",
            text=f"The sandbox of the agent {agent.folder} is made anew, with these packages:\n"
            f"{listed or 'none'}\n“Always allow” lets this agent do that without asking.{fields.reason}",
            scope="any",
        )

    def apply(self, _connection: Connection, _approval: PendingApproval) -> Mapping[str, object]:
        """Change nothing."""
        return {}

    async def finish(self, approval: PendingApproval, effects: Effects) -> Mapping[str, object] | None:
        """Install what is missing, and start the agent's runners again."""
        agent = approval.agent_group_id or ""
        await effects.rebuild_agent(agent)
        await effects.restart_agent(agent)
        return None


KIND = RequestRebuild
