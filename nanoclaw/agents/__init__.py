"""The configuration of agents in their folders."""

from nanoclaw.agents.container_json import (
    BadContainerJson,
    ContainerConfig,
    Grant,
    LimitsConfig,
    McpServer,
    PackagesConfig,
    read_container_json,
)
from nanoclaw.agents.mounts import MountRefused, granted_mounts

__all__ = [
    "BadContainerJson",
    "ContainerConfig",
    "Grant",
    "LimitsConfig",
    "McpServer",
    "MountRefused",
    "PackagesConfig",
    "granted_mounts",
    "read_container_json",
]
