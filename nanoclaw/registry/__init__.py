"""The registry: the one writer of the central database."""

from nanoclaw.registry.actor import (
    Bootstrap,
    EnsureChat,
    EnsureUser,
    OpenSession,
    ParkEvent,
    RecordStranger,
    Registry,
    RemoveParked,
    WireChat,
    registry_recipe,
)
from nanoclaw.registry.changes import Changes

__all__ = [
    "Bootstrap",
    "Changes",
    "EnsureChat",
    "EnsureUser",
    "OpenSession",
    "ParkEvent",
    "RecordStranger",
    "Registry",
    "RemoveParked",
    "WireChat",
    "registry_recipe",
]
