"""Agents on disk: what an agent group's folder says about its containers."""

from nanoclaw.agents.container_json import (
    BadContainerJson,
    ContainerConfig,
    Grant,
    LimitsConfig,
    McpServer,
    read_container_json,
)

__all__ = ["BadContainerJson", "ContainerConfig", "Grant", "LimitsConfig", "McpServer", "read_container_json"]
