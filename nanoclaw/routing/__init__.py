"""Routing of inbound events to the sessions that store them. It has no actor."""

from nanoclaw.routing.router import Router

__all__ = ["Router"]
