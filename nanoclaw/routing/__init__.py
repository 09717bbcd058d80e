"""Routing: from an inbound event to the sessions that store it. Functions and one intake; no actor."""

from nanoclaw.routing.router import Router

__all__ = ["Router"]
