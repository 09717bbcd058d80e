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

__all__ = [
    "BadContainerJson",
    "ContainerConfig",
    "Grant",
    "LimitsConfig",
    "McpServer",
    "PackagesConfig",
    "read_container_json",
]
