"""Routing of inbound events to the sessions that store them, and what becomes of those that none may get."""

from nanoclaw.routing.drops import Drops
from nanoclaw.routing.router import Router
from nanoclaw.routing.strangers import HeldKeeper, Strangers

__all__ = ["Drops", "HeldKeeper", "Router", "Strangers"]
