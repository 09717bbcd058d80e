"""The configuration of agents in their folders."""

from nanoclaw.agents.container_change import Change, change_container_json, changed
from nanoclaw.agents.container_json import (
    BadContainerJson,
    ContainerConfig,
    Grant,
    LimitsConfig,
    McpServer,
    PackagesConfig,
    read_container_json,
)
from nanoclaw.agents.mount_list import BadMountList
from nanoclaw.agents.mounts import MountPolicy, MountRefused, granted_mounts

__all__ = [
    "BadContainerJson",
    "BadMountList",
    "Change",
    "ContainerConfig",
    "Grant",
    "LimitsConfig",
    "McpServer",
    "MountPolicy",
    "MountRefused",
    "PackagesConfig",
    "change_container_json",
    "changed",
    "granted_mounts",
    "read_container_json",
]
