"""Routing of inbound events to the sessions that store them. Its only actor writes engaged threads."""

from nanoclaw.routing.engaged import EngagedThreads
from nanoclaw.routing.router import Router

__all__ = ["EngagedThreads", "Router"]
