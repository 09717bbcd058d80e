"""The specification of a session's runner: provider, environment, folders, container (contract 1)."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import structlog
from attrs import evolve

from nanoclaw.agents import (
    BadContainerJson,
    ContainerConfig,
    MountRefused,
    granted_mounts,
    read_container_json,
)
from nanoclaw.agents.container_json import FILE
from nanoclaw.config import Config
from nanoclaw.config.passed_variables import missing, passed
from nanoclaw.config.tables import SandboxConfig
from nanoclaw.gateway import SessionModels, key_variables
from nanoclaw.records import AgentGroup
from nanoclaw.runtimes import Limits, Mount, NothingLeft, Packages, RunnerSpec, StartFailed, isolates
from nanoclaw.session.answering import models_of
from nanoclaw.session.services import Conversation, Services
from nanoclaw.store.central.agent_groups import SHARED_FOLDER
from nanoclaw.store.engine.names import is_component
from nanoclaw.store.session.projections import CentralView
from nanoclaw.system.obstacles import passes

_log = structlog.get_logger()


def runner_start(
    services: Services, conversation: Conversation, view: CentralView
) -> tuple[RunnerSpec, SessionModels]:
    """Return the specification of a runner and its models. It reads files, so call it on the executor.

    Raises:
        StartFailed: container.json, the agent's folder or its workspace cannot be used. The text says why.
    """
    group, config = conversation.agent_group, services.config
    folder = config.groups / group.folder
    workspace, shared = folder / "workspace", config.groups / "global" / "workspace"
    container = _container(group, folder)
    if isolates(services.runtime):
        container = _with_mounts(config, group.folder, container)
    _make_usable(workspace)
    models, paths = models_of(group, conversation.session, container, config), conversation.paths(config)
    _make_usable(paths.gateway_dir)
    spec = RunnerSpec(
        conversation.session.id,
        paths,
        workspace,
        models.first.provider,
        {
            **_passed(config, without=models.key_variables),
            **container.env,
            **_contract(services, conversation, view, models, container),
        },
        shared=shared if os.path.isdir(shared) else None,  # noqa: PTH112 -- False for one that cannot be read
        gateway=models.served,
        command=config.runtime.command,
    )
    spec = with_container(spec, container)
    if isolates(services.runtime):
        spec = evolve(bounded(spec, config.sandbox), web=services.gateway.serves_web)
    return spec, models


def _container(group: AgentGroup, folder: Path) -> ContainerConfig:
    if not is_component(group.folder) or group.folder == SHARED_FOLDER:
        raise StartFailed(
            f"the agent {group.id} has the folder {group.folder!r:.140} in v2.db, which is not allowed; "
            "correct its row: use letters, digits, `-`, `_` and `.`"
        )
    try:
        return read_container_json(folder)
    except BadContainerJson as error:
        cause = error.__cause__ and error.__cause__.__cause__
        if isinstance(cause, OSError) and passes(cause):
            raise NothingLeft(str(error)) from error
        raise StartFailed(str(error)) from error
    except OSError as error:
        raise StartFailed(_unusable(folder, error)) from error


def _with_mounts(config: Config, agent: str, container: ContainerConfig) -> ContainerConfig:
    """Return the agent's `container.json` with the mounts that it is given."""
    if not container.mounts:
        return container
    try:
        agents = {**dict(_containers(config)), agent: container}
        return evolve(container, mounts=granted_mounts(config, os.environ, agent, agents))
    except MountRefused as error:
        cause = error.__cause__ and error.__cause__.__cause__ and error.__cause__.__cause__.__cause__
        if isinstance(cause, OSError) and passes(cause):
            raise NothingLeft(str(error)) from error
        raise StartFailed(str(error)) from error


def _make_usable(workspace: Path) -> None:
    """Create the workspace if it is missing, and enter it."""
    try:
        workspace.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.scandir(workspace).close()
    except OSError as error:
        raise StartFailed(_unusable(workspace, error)) from error


def _unusable(folder: Path, error: OSError) -> str:
    return (
        f"the agent's folder {folder} cannot be used: {error.strerror or error}; make it a folder that you "
        "may read and write"
    )


def _passed(config: Config, *, without: frozenset[str]) -> Mapping[str, str]:
    """Return the variables that `pass_env` admits, without those that hold the key of any agent's model."""
    names = config.runtime.pass_env
    if not names:
        return {}
    without |= _key_variables(config)
    if absent := missing(names, os.environ):
        _log.debug("session.variables_not_set", names=absent, key="runtime.pass_env")
    found = passed(names, os.environ)
    if held := sorted(found.keys() & without):
        _log.debug("session.variables_withheld", names=held, key="runtime.pass_env")
    return {name: value for name, value in found.items() if name not in without}


def _key_variables(config: Config) -> frozenset[str]:
    """Return the variables with the keys of all agents. A file that cannot be used names none."""
    found = key_variables(config.model)
    for _, container in _containers(config):
        found |= key_variables(config.model, [container.model])
    return found


def _containers(config: Config) -> Iterator[tuple[str, ContainerConfig]]:
    """Yield the `container.json` of each agent by its folder. One that cannot be read is left out."""
    for file in config.groups.glob(f"*/{FILE}"):
        with suppress(BadContainerJson, OSError):
            yield file.parent.name, read_container_json(file.parent)


def with_container(spec: RunnerSpec, container: ContainerConfig) -> RunnerSpec:
    """Return a specification with what `container.json` asks of the container."""
    limits = container.limits
    return evolve(
        spec,
        image=container.image,
        mounts=tuple(Mount(each.source, each.target, each.read_only) for each in container.mounts),
        limits=Limits(limits.memory, limits.processes, limits.cpus, limits.disk),
        network=container.network,
        packages=Packages(container.packages.apt, container.packages.pip, container.packages.npm),
    )


def bounded(spec: RunnerSpec, sandbox: SandboxConfig) -> RunnerSpec:
    """Return a specification with the bounds of `[sandbox]` where `container.json` sets none."""
    own = spec.limits
    limits = Limits(
        sandbox.memory if own.memory_bytes is None else own.memory_bytes,
        sandbox.processes if own.processes is None else own.processes,
        sandbox.cpus if own.cpus is None else own.cpus,
        sandbox.disk if own.disk_bytes is None else own.disk_bytes,
    )
    return evolve(spec, limits=limits)


def _contract(
    services: Services,
    conversation: Conversation,
    view: CentralView,
    models: SessionModels,
    container: ContainerConfig,
) -> Mapping[str, str]:
    """Return the environment variables of contract 1, except the paths."""
    group, config = conversation.agent_group, services.config
    servers = {name: server.described() for name, server in container.mcp_servers.items()}
    return {
        "AGENT_PROVIDER": models.first.provider,
        "NANOCLAW_AGENT_GROUP_ID": group.id,
        "NANOCLAW_AGENT_GROUP_NAME": group.name,
        "NANOCLAW_ASSISTANT_NAME": config.prompt.assistant_name,
        "NANOCLAW_ADMIN_USER_IDS": ",".join(view.admin_ids),
        "NANOCLAW_MCP_SERVERS": json.dumps(servers),
        "NANOCLAW_MODEL_SETTINGS": json.dumps(models.settings(config.runtime.max_turn_steps)),
        "NANOCLAW_SLOW_POLL_S": str(config.runtime.slow_poll_s),
        "NANOCLAW_KEEP_ACKS_S": str(config.retention.acks_s),
        "NANOCLAW_KEEP_MESSAGES_S": str(config.retention.messages_s),
        "TZ": config.timezone,
    }
