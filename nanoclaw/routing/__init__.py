"""Routing: from an inbound event to the sessions that store it. It has no actor."""

from nanoclaw.routing.router import Router

__all__ = ["Router"]
