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

__all__ = [
    "Bootstrap",
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
