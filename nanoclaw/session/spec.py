"""The specification of a session's runner: provider, environment, folders, container (contract 1)."""

import json
import os
from collections.abc import Mapping, Sequence

import structlog
from attrs import asdict, evolve

from nanoclaw.agents import BadContainerJson, ContainerConfig, read_container_json
from nanoclaw.config.passed_variables import missing, passed
from nanoclaw.runtimes import Limits, Mount, RunnerSpec, StartFailed
from nanoclaw.session.services import Conversation, Services
from nanoclaw.store.session.projections import CentralView

_log = structlog.get_logger()


def runner_spec(services: Services, conversation: Conversation, view: CentralView) -> RunnerSpec:
    """Return the specification of a runner. It reads container.json, so call it on the executor.

    Raises:
        StartFailed: container.json cannot be used. The text says why.
    """
    group, config = conversation.agent_group, services.config
    folder = config.groups / group.folder
    try:
        container = read_container_json(folder)
    except BadContainerJson as error:
        raise StartFailed(str(error)) from error
    workspace, shared = folder / "workspace", config.groups / "global" / "workspace"
    workspace.mkdir(mode=0o700, parents=True, exist_ok=True)
    provider = (
        conversation.session.agent_provider
        or container.provider
        or group.agent_provider
        or config.model.provider
    )
    spec = RunnerSpec(
        conversation.session.id,
        conversation.paths(config),
        workspace,
        provider,
        {
            **_passed(config.runtime.pass_env),
            **container.env,
            **_contract(services, conversation, view, provider, container),
        },
        shared=shared if shared.is_dir() else None,
        command=config.runtime.command,
    )
    return with_container(spec, container)


def _passed(names: Sequence[str]) -> Mapping[str, str]:
    if absent := missing(names, os.environ):
        _log.debug("session.variables_not_set", names=absent, key="runtime.pass_env")
    return passed(names, os.environ)


def with_container(spec: RunnerSpec, container: ContainerConfig) -> RunnerSpec:
    """Return a specification with what `container.json` asks of the container."""
    limits = container.limits
    return evolve(
        spec,
        image=container.image,
        mounts=tuple(Mount(each.source, each.target, each.read_only) for each in container.mounts),
        limits=Limits(limits.memory, limits.processes, limits.cpus),
        network=container.network,
    )


def _contract(
    services: Services,
    conversation: Conversation,
    view: CentralView,
    provider: str,
    container: ContainerConfig,
) -> Mapping[str, str]:
    """Return the environment variables of contract 1, except the paths."""
    group, config = conversation.agent_group, services.config
    servers = {name: asdict(server) for name, server in container.mcp_servers.items()}
    return {
        "AGENT_PROVIDER": provider,
        "NANOCLAW_AGENT_GROUP_ID": group.id,
        "NANOCLAW_AGENT_GROUP_NAME": group.name,
        "NANOCLAW_ASSISTANT_NAME": config.prompt.assistant_name,
        "NANOCLAW_ADMIN_USER_IDS": ",".join(view.admin_ids),
        "NANOCLAW_MCP_SERVERS": json.dumps(servers),
        "NANOCLAW_SLOW_POLL_S": str(config.runtime.slow_poll_s),
        "NANOCLAW_KEEP_ACKS_S": str(config.retention.acks_s),
        "NANOCLAW_KEEP_MESSAGES_S": str(config.retention.messages_s),
        "TZ": config.timezone,
    }
